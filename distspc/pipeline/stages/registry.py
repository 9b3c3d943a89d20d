"""The stages, in their order; run, status, cost and the command line read them from here."""

from __future__ import annotations

from collections.abc import Iterable

from distspc.pipeline.stages.base import Stage
from distspc.pipeline.stages.distances import Distances
from distspc.pipeline.stages.extract import Extract
from distspc.pipeline.stages.measures import Measures
from distspc.pipeline.stages.readout import Readout
from distspc.pipeline.stages.reconstruct import Reconstruct
from distspc.pipeline.stages.relate import Relate
from distspc.pipeline.stages.report import Report
from distspc.study.file import StageName

STAGES: dict[StageName, Stage] = {
    stage.name: stage for stage in (Extract(), Distances(), Reconstruct(), Measures(), Readout(), Relate(), Report())
}


ON_CLUSTER: tuple[StageName, ...] = tuple(name for name, stage in STAGES.items() if stage.on_cluster)
"""Stages that have Dask tasks."""


def resting_on(names: Iterable[StageName]) -> list[Stage]:
    """Stages whose results rest on those of some stages, these among them: gone when they are redone."""
    wanted = set(names)
    return [stage for stage in STAGES.values() if wanted & set(stage.rests_on)]


def rested_on(names: Iterable[StageName]) -> set[StageName]:
    """Stages whose results some stages use, these among them."""
    return {other for name in names for other in STAGES[name].rests_on}
