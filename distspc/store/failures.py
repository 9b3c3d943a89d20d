"""Parts of a study that cannot be computed: which, why and what to do, kept in the store until they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from distspc.store.store import Store

_NAMES = {
    "extract": "activations",
    "distances": "distances",
    "reconstruct": "reconstruction",
    "measures": "measures",
    "readout": "Gram matrix",
    "relate": "correlation with memorability",
}


@dataclass(frozen=True)
class Failure:
    """A layer, or a seed of it, that a stage could not compute.

    Attributes
    ----------
    stage
        The stage.
    layer
        The layer; empty where a stage is not by layer.
    seed
        The seed; None for all of them, and for stages without seeds.
    reason, way_out
        What is wrong, and what to do.
    measure
        The further measure; empty for other stages.
    """

    stage: str
    layer: str
    seed: int | None
    reason: str
    way_out: str
    measure: str = ""

    @classmethod
    def of(cls, stage: str, layer: str, part: int | str | None, error: Exception) -> Failure:
        """What the error of a stage says of one part: a seed, a measure, or all of a layer."""
        measure, seed = (part, None) if isinstance(part, str) else ("", part)
        title = _title(stage, layer, seed, measure)
        reason = str(error).removeprefix(f"{title}: ").removeprefix(f"{layer}: ")
        leave_out = f" or take {layer} out of `layers`" if layer else ""
        leave_out = f" or take {measure} out of `measures`" if measure else leave_out
        way_out = f"mend this{leave_out}, and run again: only what failed is tried"
        return cls(stage, layer, seed, reason, way_out, measure)

    @property
    def title(self) -> str:
        """What failed, such as ``reconstruction of layer fc2, seed 0``."""
        return _title(self.stage, self.layer, self.seed, self.measure)

    @property
    def sentence(self) -> str:
        """What failed, why, and what to do."""
        return f"{self.title} failed: {self.reason}; {self.way_out}"


def _title(stage: str, layer: str, seed: int | None, measure: str = "") -> str:
    of_layer = f" of layer {layer}" if layer else ""
    return f"{measure or _NAMES.get(stage, stage)}{of_layer}" + ("" if seed is None else f", seed {seed}")


def stored_failures(
    store: Store,
    *,
    layers: Iterable[str] | None = None,
    seeds: Iterable[int] | None = None,
    measures: Iterable[str] | None = None,
) -> list[Failure]:
    """Return what failed and has not been computed since, in the order of `layers`, stages and seeds.

    Parameters
    ----------
    store
        The store.
    layers, seeds, measures
        Only parts of these; all by default. What is not by layer, seed or measure is always among them.
    """
    order = None if layers is None else ["", *layers]
    chosen = None if seeds is None else {None, *seeds}
    named = None if measures is None else {"", *measures}
    kept = [Failure(**row) for row in store.attributes.get("failures", [])]
    kept = [one for one in kept if named is None or one.measure in named]
    kept = [one for one in kept if (order is None or one.layer in order) and (chosen is None or one.seed in chosen)]
    by_layer = sorted(kept, key=lambda one: (list(_NAMES).index(one.stage), -1 if one.seed is None else one.seed))
    return by_layer if order is None else sorted(by_layer, key=lambda one: order.index(one.layer))


def keep_failures(
    store: Store,
    stage: str,
    failures: Iterable[Failure],
    *,
    layers: Sequence[str] = ("",),
    seeds: Sequence[int] = (),
) -> None:
    """Keep what a stage could not compute, in place of what was kept of these layers and seeds; on the driver only."""
    _replace(store, failures, lambda one: one.stage == stage and one.layer in layers and one.seed in {None, *seeds})


def forget_failures(store: Store, stages: Iterable[str]) -> None:
    """Forget what stages could not compute: their results are gone, or are to be made anew."""
    gone = set(stages)
    _replace(store, [], lambda one: one.stage in gone)


def _replace(store: Store, new: Iterable[Failure], replaced: Any) -> None:
    old = stored_failures(store)
    kept = [*(one for one in old if not replaced(one)), *new]
    if set(kept) != set(old):
        store.set_attributes(failures=[asdict(one) for one in kept])
