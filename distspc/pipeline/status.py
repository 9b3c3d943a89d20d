"""How far a study is, from its store alone; and what its last stages rest on."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distspc import __version__
from distspc.errors import InputError
from distspc.report.problems import left_out
from distspc.store.failures import Failure, stored_failures
from distspc.store.store import Store
from distspc.study.comparison import other_results
from distspc.study.file import Shown, StageName, StudyFile

RELATED = ("relations", "models", "comparisons", "scores")
"""Groups that `relate` makes."""


@dataclass(frozen=True)
class StageStatus:
    """How far one stage is for one layer (`layer` is empty where a stage is not by layer)."""

    stage: StageName
    layer: str
    n_done: int
    n_tasks: int
    failed: str = ""
    """What could not be computed, and why; empty where nothing failed."""
    differs: str = ""
    """In what the results that are there differ from the study; empty where they are its own, or none are there."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.n_done == self.n_tasks


def study_status(study: StudyFile) -> Iterator[StageStatus]:
    """How far every stage is, layer by layer."""
    failures = study_failures(study)
    no_activations = {one.layer for one in failures if one.stage == "extract"}
    others = other_results(study)

    def differs(stage: StageName, layer: str) -> str:
        of_stage = [(stage, layer), (stage, ""), ("extract", layer), ("extract", "")]
        told = [others[key] for key in of_stage if key in others]
        return (told or (list(others.values()) if stage in ("relate", "report") else []) or [""])[0]

    def row(stage: StageName, layer: str, n_done: int, n_tasks: int) -> StageStatus:
        if differs(stage, layer):
            return StageStatus(stage, layer, 0, n_tasks, differs=differs(stage, layer))
        failed = [one for one in failures if (one.stage, one.layer) == (stage, layer)]
        told = [one.reason if one.seed is None else f"seed {one.seed}: {one.reason}" for one in failed]
        if layer in no_activations and stage != "extract":
            told = ["it has no activations"]
        return StageStatus(stage, layer, n_done, n_tasks, "; ".join(told) if n_done < n_tasks else "")

    for layer in study.layers:
        yield row("extract", layer, *_count_chunks(study, f"activations/{layer}", "activation"))
    for layer in study.layers:
        yield row("distances", layer, *_count(_complete(study, "distances", layer=[layer])))
    for layer in study.layers:
        seeds = list(study.reconstruction.seeds)
        yield row("reconstruct", layer, *_count(_complete(study, "reconstruction", layer=[layer], seed=seeds)))
    if study.scores is not None:
        yield row("relate", "", int(relations_are_current(study)), 1)
    yield row("report", "", int(report_is_current(study)), 1)


def study_failures(study: StudyFile) -> list[Failure]:
    """Return the layers and seeds of a study that could not be computed."""
    return stored_failures(study.stored, layers=study.layers, seeds=study.reconstruction.seeds)


def _count_chunks(study: StudyFile, group: str, variable: str) -> tuple[int, int]:
    """Chunks done and chunks in all; (0, 1) where nothing has begun."""
    if not study.stored[group].exists():
        return 0, 1
    done = study.stored[group].done(variable)
    return int(done.sum()), done.size


def _complete(study: StudyFile, group: str, **wanted: Sequence[Any]) -> np.ndarray:
    """For every combination of wanted labels, whether its results are complete."""
    there = np.zeros([len(labels) for labels in wanted.values()], dtype=bool)
    if not study.stored[group].exists():
        return there
    known = {dim: study.stored[group].labels(dim) for dim in wanted}
    done = study.stored[group].complete(*wanted)
    for at, labels in zip(np.ndindex(there.shape), itertools.product(*wanted.values()), strict=True):
        if all(label in known[dim] for dim, label in zip(wanted, labels, strict=True)):
            there[at] = done[tuple(known[dim].index(label) for dim, label in zip(wanted, labels, strict=True))]
    return there


def _count(done: np.ndarray) -> tuple[int, int]:
    return int(done.sum()), done.size


def _holes(study: StudyFile) -> dict[str, dict[str, list[str]]]:
    """What measures lack, by group: what rests on them is to be made anew once it is there; only where they do."""
    seeds = list(study.reconstruction.seeds)
    done = {
        "distances": dict(zip(study.layers, _complete(study, "distances", layer=study.layers), strict=True)),
        "reconstruction": {
            f"{layer} {seed}": there
            for layer in study.layers
            for seed, there in zip(seeds, _complete(study, "reconstruction", layer=[layer], seed=seeds)[0], strict=True)
        },
    }
    holes = {group: [name for name, there in names.items() if not there] for group, names in done.items()}
    return {"missing": holes} if any(holes.values()) else {}


# ---------------------------------------------------------------- what the last stages rest on


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"the scores {path} cannot be read: {error.strerror}") from None


def _names_digest(store: Store) -> str:
    """Digest of all that decides, beside the scores, which image gets which score: names and numbers of images."""
    names = {"images": ("role", "number", "file"), "skipped": ("role", "number", "file")}
    there = {group: columns for group, columns in names.items() if store[group].exists()}
    known = {group: [store[group].read(name).tolist() for name in there[group]] for group in there}
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _recipes(study: StudyFile, groups: Iterable[str]) -> dict[str, Any]:
    there = [group for group in groups if study.stored[group].exists()]
    return {group: study.stored[group].attributes.get("recipe") for group in there}


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
                "names": _names_digest(study.stored),
                "columns": scores.columns,
                **({"missing": scores.missing} if scores.missing else {}),
                "reliability": dict(scores.reliability),
                "layers": study.layers,
                "relate": study.relate.model_dump(),
                "seeds": study.reconstruction.seeds,
                "measures": _recipes(study, ("distances", "reconstruction")),
                **_holes(study),
            }
        )
    )


def relations_are_current(study: StudyFile) -> bool:
    """Whether the relations are there, no chunk of them is missing, and they rest on what is there now."""
    if not all(study.stored[group].exists() for group in RELATED):
        return False
    known, wanted = study.stored.relations.attributes.get("recipe", {}), relation_recipe(study)
    if "names" not in known:  # stores from before it was kept
        wanted.pop("names", None)
    if known != wanted:
        return False
    return all(study.stored[group].complete() for group in RELATED)


def shown_results(study: StudyFile) -> Shown:
    """What is shown of the store: what the study asks for, and correlations only where they rest on what is asked."""
    return {**study.shown, "with_scores": _relations_are_shown(study)}


def _relations_are_shown(study: StudyFile) -> bool:
    try:
        return study.scores is not None and relations_are_current(study)
    except InputError:  # the scores are gone; the results outlive them
        return True


def fingerprint(study: StudyFile) -> str:
    """Digest of all that the report of a study shows: the recipes of everything in the store, and what failed."""
    groups = ["images", "skipped", *(f"activations/{name}" for name in study.layers)]
    with_scores = _relations_are_shown(study)
    related = ["relations"] if with_scores else []
    known = _recipes(study, [*groups, "distances", "reconstruction", *related])
    holes: list[Any] = [_holes(study), *(one.sentence for one in study_failures(study))]
    if notices := left_out(study.stored, study.layers, with_scores=with_scores):
        holes.append(notices)
    shown = [__version__, study.layers, study.reconstruction.seeds, known, *filter(None, holes)]
    text = json.dumps(shown, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def report_is_current(study: StudyFile) -> bool:
    """Whether the report is there, this study's and no other's, and was made from what is in the store now."""
    mark = fingerprint(study)
    if not study.report.exists() or study.stored.attributes.get("report") != mark:
        return False
    with study.report.open(encoding="utf-8", errors="replace") as page:
        return f'content="{mark}"' in page.read(10_000)
