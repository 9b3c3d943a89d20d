"""How far a study is, from its store alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from distspc.extraction.engines import ENGINE_NAMES
from distspc.pipeline.comparison import other_results
from distspc.pipeline.stages.base import study_failures
from distspc.pipeline.stages.registry import STAGES as REGISTRY
from distspc.results.card import Card, Done
from distspc.store.activations import when_given_back
from distspc.store.group import Group
from distspc.store.rows import taken_in_words
from distspc.study.file import StageName, StudyFile


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

    note: str = ""
    """What else is to be known, such as how many iterations batches took, or that activations were given back."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.n_done == self.n_tasks


class Statuses(list[StageStatus]):
    """How far all stages are: a list, which a notebook shows as a table."""

    def __repr__(self) -> str:
        return status_card("status", self).text()

    def _repr_html_(self) -> str:
        return status_card("status", self).html()


def status_card(title: str, statuses: Iterable[StageStatus], facts: Sequence[tuple[str, str]] = ()) -> Card:
    """What is shown of the status of a study: a row for each stage and layer."""
    rows: list[list[str | Done]] = [
        [one.stage, one.layer, Done(one.n_done, one.n_tasks), one.failed or one.differs or one.note] for one in statuses
    ]
    return Card(title, facts, "how far every stage is", ["stage", "layer", "done", "to be known"], rows)


def study_status(study: StudyFile) -> Iterator[StageStatus]:
    """How far every stage is, layer by layer."""
    failures = study_failures(study)
    no_activations = {one.layer for one in failures if one.stage == "extract"}
    others = other_results(study)

    def differs(stage: StageName, layer: str) -> str:
        of_stage = [(stage, layer), (stage, ""), ("extract", layer), ("extract", "")]
        reasons = [others[key] for key in of_stage if key in others]
        return (reasons or (list(others.values()) if stage in ("relate", "report") else []) or [""])[0]

    remarks = {stage.name: stage.remarks(study) for stage in REGISTRY.values()}

    def row(stage: StageName, layer: str, n_done: int, n_tasks: int) -> StageStatus:
        if differs(stage, layer):
            return StageStatus(stage, layer, 0, n_tasks, differs=differs(stage, layer))
        failed = [one for one in failures if (one.stage, one.layer) == (stage, layer)]
        reasons = [one.reason if one.seed is None else f"seed {one.seed}: {one.reason}" for one in failed]
        if layer in no_activations and stage != "extract":
            reasons = ["it has no activations"]
        failed_by = "; ".join(reasons) if n_done < n_tasks else ""
        note = "; ".join(filter(None, [remarks[stage].get(layer), _note(study, stage, layer, n_done < n_tasks)]))
        return StageStatus(stage, layer, n_done, n_tasks, failed_by, note=note)

    for stage in REGISTRY.values():
        for layer, n_done, n_tasks in stage.status(study):
            yield row(stage.name, layer, n_done, n_tasks)


def _note(study: StudyFile, stage: StageName, layer: str, unfinished: bool) -> str:
    """What is to be said of a layer: what became of its activations, where they are from, what made them."""
    said = when_given_back(study.stored.layer(layer)) if layer else ""
    if stage == "extract":
        group = study.stored.layer(layer)
        return "; ".join(filter(None, [said, taken_in_words(group), _engine_in_words(group)]))
    if not said:
        return said
    return f"needs its activations, {said}" if unfinished else ""


def _engine_in_words(group: Group) -> str:
    """What ran the network of a layer, where that is not the engine of its kind."""
    recipe = group.attributes.get("recipe", {}) if group.exists() else {}
    return f"in {ENGINE_NAMES[recipe['engine']]}" if "engine" in recipe else ""
