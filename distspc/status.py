"""How far a study is, from its store alone; and what its last stages rest on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distspc import __version__
from distspc import store as zarr_store
from distspc.errors import InputError
from distspc.study import StageName, StudyFile

RELATED = ("relations", "models", "comparisons", "scores")
"""Groups that `relate` makes."""


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


def study_status(study: StudyFile) -> Iterator[Progressed]:
    """How far every stage is, layer by layer."""
    for layer in study.layers:
        yield Progressed("extract", layer, *_count_chunks(study, f"activations/{layer}", "activation"))
    for layer in study.layers:
        yield Progressed("distances", layer, *_count_labels(study, "distances", layer=[layer]))
    for layer in study.layers:
        seeds = list(study.reconstruction.seeds)
        yield Progressed("reconstruct", layer, *_count_labels(study, "reconstruction", layer=[layer], seed=seeds))
    if study.scores is not None:
        yield Progressed("relate", "", int(relations_are_current(study)), 1)
    yield Progressed("report", "", int(report_is_current(study)), 1)


def _count_chunks(study: StudyFile, group: str, variable: str) -> tuple[int, int]:
    """Chunks done and chunks in all; (0, 1) where nothing has begun."""
    if not zarr_store.exists(study.store, group):
        return 0, 1
    done = zarr_store.done(study.store, group, variable)
    return int(done.sum()), done.size


def _count_labels(study: StudyFile, group: str, **wanted: Sequence[Any]) -> tuple[int, int]:
    """Combinations of labels whose results are complete, and how many are wanted."""
    n_labels = math.prod(len(labels) for labels in wanted.values())
    if not zarr_store.exists(study.store, group):
        return 0, n_labels
    done = zarr_store.complete(study.store, group, *wanted)
    for axis, (dim, labels) in enumerate(wanted.items()):
        known = zarr_store.labels(study.store, group, dim)
        done = done.take([known.index(label) for label in labels if label in known], axis=axis)
    return int(done.sum()), n_labels


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
    """What the relations of a study rest on: the scores, the settings, and the measures' own recipes."""
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


def relations_are_current(study: StudyFile) -> bool:
    """Whether the relations are there, no chunk of them is missing, and they rest on what is there now."""
    if not all(zarr_store.exists(study.store, group) for group in RELATED):
        return False
    if zarr_store.attributes(study.store, "relations").get("recipe") != relation_recipe(study):
        return False
    return all(zarr_store.complete(study.store, group) for group in RELATED)


def fingerprint(study: StudyFile) -> str:
    """Digest of all that the report of a study shows: the recipes of everything in the store."""
    groups = ["images", "skipped", *(f"activations/{name}" for name in study.layers)]
    known = _recipes(study, [*groups, "distances", "reconstruction", "relations"])
    text = json.dumps([__version__, study.layers, study.reconstruction.seeds, known], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def report_is_current(study: StudyFile) -> bool:
    """Whether the report is there, this study's and no other's, and was made from what is in the store now."""
    mark = fingerprint(study)
    if not study.report.exists() or zarr_store.notes(study.store).get("report") != mark:
        return False
    with study.report.open(encoding="utf-8", errors="replace") as page:
        return f'content="{mark}"' in page.read(10_000)
