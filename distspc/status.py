"""How far a study is, from its store alone; and what its last stages rest on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distspc import __version__
from distspc import store as zarr_store
from distspc.errors import InputError
from distspc.study import StageName, StudyFile


@dataclass(frozen=True)
class Progressed:
    """How far one stage is for one layer (`layer` is empty where a stage is not by layer)."""

    stage: StageName
    layer: str
    n_done: int
    n_tasks: int

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.n_done == self.n_tasks


def study_status(study: StudyFile) -> Iterable[Progressed]:
    for layer in study.layers:
        yield Progressed("extract", layer, *_count(study, f"activations/{layer}", "activation"))
    for layer in study.layers:
        yield Progressed("distances", layer, *_count(study, "distances", "distance", layer=[layer]))
    for layer in study.layers:
        seeds = list(study.reconstruction.seeds)
        yield Progressed("reconstruct", layer, *_count(study, "reconstruction", "error", layer=[layer], seed=seeds))
    if study.scores is not None:
        made = zarr_store.exists(study.store, "relations")
        recipe = zarr_store.attributes(study.store, "relations").get("recipe") if made else None
        yield Progressed("relate", "", int(made and recipe == relation_recipe(study)), 1)
    yield Progressed("report", "", int(report_is_current(study)), 1)


def _count(study: StudyFile, group: str, variable: str, **wanted: Sequence[Any]) -> tuple[int, int]:
    """Chunks done and chunks in all, for some labels of growing dimensions; (0, n labels) where nothing is there."""
    n_wanted = 1
    for labels in wanted.values():
        n_wanted *= len(labels)
    if not zarr_store.exists(study.store, group):
        return 0, n_wanted
    done = zarr_store.done(study.store, group, variable)
    for axis, (dim, labels) in enumerate(wanted.items()):
        known = zarr_store.labels(study.store, group, dim)
        rows = [known.index(label) for label in labels if label in known]
        done = done.take(rows, axis=axis)
    per_label = done.size // max(1, done.shape[0] * (done.shape[1] if len(wanted) > 1 else 1)) if wanted else done.size
    return int(done.sum()), max(n_wanted * max(per_label, 1), done.size)


# ---------------------------------------------------------------- what the last stages rest on


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"the scores {path} cannot be read: {error.strerror}") from None


def _recipes(study: StudyFile, groups: Iterable[str]) -> dict[str, Any]:
    there = [group for group in groups if zarr_store.exists(study.store, group)]
    return {group: zarr_store.attributes(study.store, group).get("recipe") for group in there}


def relation_recipe(study: StudyFile) -> dict[str, Any]:
    scores = study.scores
    if scores is None:
        return {}
    return json.loads(
        json.dumps(
            {
                "scores": _digest(scores.file),
                "image": scores.image,
                "columns": scores.columns,
                "reliability": dict(scores.reliability),
                "layers": study.layers,
                "relate": study.relate.model_dump(),
                "seeds": study.reconstruction.seeds,
                "measures": _recipes(study, ("distances", "reconstruction")),
            }
        )
    )


def fingerprint(study: StudyFile) -> str:
    groups = ["images", "skipped", *(f"activations/{name}" for name in study.layers)]
    known = _recipes(study, [*groups, "distances", "reconstruction", "relations"])
    text = json.dumps([__version__, study.layers, study.reconstruction.seeds, known], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def report_is_current(study: StudyFile) -> bool:
    return study.report.exists() and zarr_store.notes(study.store).get("report") == fingerprint(study)
