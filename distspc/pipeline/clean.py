"""Disk that a study can give back: what, how large, and what of it is still needed; and giving it back.

What is done stays done: a layer's attributes, coordinates and sizes stay, and only a stage that needs its activations
once more asks for them. Nothing is removed but what the study has made itself, by the names that it gives its files.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pandas as pd

from distspc.deployment.batch.jobs import job_name
from distspc.errors import InputError, StoreMismatchError
from distspc.messages import counted, did_you_mean, shorten
from distspc.pipeline import leftovers
from distspc.pipeline.given_back import cost_again, imported_from
from distspc.pipeline.leftovers import Leftover
from distspc.pipeline.stages.base import Run, study_failures
from distspc.pipeline.stages.registry import STAGES
from distspc.pipeline.stages.report import report_is_current
from distspc.store.access import lock, read_only_error
from distspc.store.activations import give_back, when_given_back
from distspc.store.group import folder_nbytes
from distspc.study.file import StudyFile
from distspc.study.images import StudyImages

Kind = Literal["activations", "units", "logs", "reports"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Item:
    """Something that can be given back, or was.

    Attributes
    ----------
    kind
        What it is.
    name
        The layer, or the files.
    nbytes
        Bytes on disk; of what was given back, those that a stop has left.
    note
        What is to be known of it.
    needed
        Why it is not given back unless forced; empty where it can be.
    leftover
        Its files, where it is not a layer.
    """

    kind: Kind
    name: str
    nbytes: int
    note: str = ""
    needed: str = ""
    leftover: Leftover | None = None


@dataclass(frozen=True)
class Choice:
    """What is to be given back.

    Attributes
    ----------
    kinds
        Of these kinds.
    layers
        Of activations these layers; all where none is named.
    """

    kinds: Collection[Kind] = ()
    layers: Sequence[str] = ()

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Return the items that are chosen and there.

        Raises
        ------
        InputError
            If a layer is named that the store has not.
        """
        known = [item.name for item in items if item.kind == "activations"]
        for layer in self.layers:
            if layer not in known:
                hint = did_you_mean(layer, known)
                raise InputError(f"there are no activations of {layer!r}; {hint}layers are {shorten(known, most=20)}")
        chosen = [item for item in items if item.kind in self.kinds and item.nbytes]
        return [item for item in chosen if item.kind != "activations" or not self.layers or item.name in self.layers]


def list_items(study: StudyFile, name: str = "") -> list[Item]:
    """List what a study can give back.

    Parameters
    ----------
    study
        The study.
    name
        Name of its file, without the ending: runs from the command line go by it.

    Raises
    ------
    InputError
        If there is no store.
    """
    store = study.stored
    if not store.exists():
        raise InputError(f"{store} is not a store yet: there is nothing to give back")
    run = Run(study, StudyImages(study), _no_client)
    items = [_activations(run, layer) for layer in dict.fromkeys([*study.layers, *store.layers()])]
    names = [job_name(text) for text in (name, store.path.stem) if text]
    found: dict[Kind, list[Leftover]] = {
        "units": leftovers.units(store.path),
        "logs": leftovers.logs(study.store.parent / "distspc-logs", names),
        "reports": leftovers.old_reports(study.report, current=_is_current(study)),
    }
    others = [
        Item(kind, one.name, one.nbytes, counted(len(one.files), "file"), leftover=one)
        for kind in found
        for one in found[kind]
    ]
    return [*filter(None, items), *others]


def _no_client(stage: str) -> None:
    raise AssertionError(f"nothing of {stage} is computed to list files")


def _is_current(study: StudyFile) -> bool:
    try:
        return report_is_current(study)
    except InputError:  # scores or a setting that the store differs in: whatever it shows, it is kept
        return True


def _activations(run: Run, layer: str) -> Item | None:
    """What is to be said of a layer; None where the store has none of it."""
    group = run.store.layer(layer)
    if not group.exists():
        return None
    nbytes = folder_nbytes(group.path / "activation")
    if group.given_back:
        return Item("activations", layer, nbytes, when_given_back(group))
    if layer not in run.study.layers:
        return Item("activations", layer, nbytes, "not a layer of this study")
    return Item("activations", layer, nbytes, _source(run.study, layer), _needed(run, layer))


def _source(study: StudyFile, layer: str) -> str:
    return f"imported from {imported_from(study, layer)}" if study.activations is not None else ""


def _needed(run: Run, layer: str) -> str:
    """Why a layer's activations are not given back: they are not complete, are needed, or could not be had again."""
    study, group = run.study, run.store.layer(layer)
    done = group.done("activation") if group.has("activation") else None
    if done is None or not done.all():
        n_done, n_files = (0, 1) if done is None else (int(done.sum()), done.size)
        return f"not complete ({counted(n_done, 'file', of=n_files)})"
    if study.activations is not None and not imported_from(study, layer).exists():
        return f"{imported_from(study, layer)} is not there any more: they could not be imported again"
    failed = [one.stage for one in study_failures(study) if one.layer == layer]
    readers = [name for name, stage in STAGES.items() if stage.reads_activations(study)]
    waiting = [name for name in readers if name in failed or _waits(run, name, layer)]
    said = [f"{name} (failed)" if name in failed else name for name in waiting]
    return f"{' and '.join(said)} still need{'s' * (len(said) == 1)} them" if said else ""


def _waits(run: Run, name: Any, layer: str) -> bool:
    try:
        return STAGES[name].needs_activations(run, layer)
    except StoreMismatchError:  # to be redone, or the settings put back
        return True


def clean(study: StudyFile, choice: Choice, *, force: bool = False, name: str = "") -> list[Item]:
    """Give back what is chosen; returns it.

    Parameters
    ----------
    study
        The study.
    choice
        What.
    force
        Whether activations go that are incomplete, or that stages still need.
    name
        As `list_items` takes it.

    Raises
    ------
    StoreBusyError
        If a run holds the store.
    InputError
        If activations are still needed; names layer and stage.
    """
    with lock(study.store) as writable:
        if not writable:
            raise read_only_error(study.store)
        chosen = choice.of(list_items(study, name))
        if not force:
            refuse_needed(study, chosen)
        for item in chosen:
            if item.leftover is None:
                give_back(study.stored, item.name)
            else:
                leftovers.remove([item.leftover])
    return chosen


def refuse_needed(study: StudyFile, items: Sequence[Item]) -> None:
    """Refuse to give back what is still needed.

    Raises
    ------
    InputError
        Names layer, reason and way out.
    """
    reasons = [f"{item.name}: {item.needed}" for item in items if item.needed]
    if reasons:
        raise InputError(
            f"activations are kept that are still needed: {'; '.join(reasons)}. Finish these (`distspc run`), name "
            "other layers, or add --force"
        )


def price(study: StudyFile, items: Sequence[Item]) -> str:
    """Say what making the activations among some items again would cost; empty where there are none."""
    layers = [item.name for item in items if item.kind == "activations" and item.name in study.layers]
    return cost_again(study, layers, StudyImages(study)) if layers else ""


def as_table(items: Sequence[Item]) -> pd.DataFrame:
    """Items as a table: columns ``kind``, ``name``, ``nbytes`` and ``note``."""
    rows = [(item.kind, item.name, item.nbytes, "; ".join(filter(None, [item.note, item.needed]))) for item in items]
    return pd.DataFrame(rows, columns=["kind", "name", "nbytes", "note"])
