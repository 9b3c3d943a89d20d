"""What a study will cost before it is run: tasks, memory, bytes and time of every stage, from sizes alone.

The work of a stage is its floating-point operations over what a worker's cores do of a float32 matrix product, times
the share of it that the stage has been measured to reach, plus the bytes it moves and a little for every task (the
distances read while they multiply, see `distances.planning.cost`); its time is that of these tasks handed out to the
workers, longest way to the end first. What the model takes from measurements is in `Rates`; a
measured sample of a study gives rates of its own (`fit_rates`). An estimate for choosing a profile, not a promise.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from distspc.errors import InputError
from distspc.messages import format_nbytes
from distspc.pipeline.needs.work import Loads, Rates, Resources, Setting, StagePlan, hand_out
from distspc.pipeline.stages.extract import extracted_nbytes
from distspc.pipeline.stages.registry import STAGES
from distspc.study.file import StageName, StudyFile


def measure_gflops(n: int = 1024, *, repeats: int = 3, dtype: str = "float32", n_threads: int | None = None) -> float:
    """GFLOP/s of a matrix product on one core of this machine, now, while others are as busy (a fraction of a second).

    Parameters
    ----------
    n
        Rows and columns.
    repeats
        The best of these counts.
    dtype
        Type of the numbers.
    n_threads
        Products side by side, one core each; None: one for every core of this process.
    """
    from threadpoolctl import threadpool_limits

    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = n_threads or n_cores
    a = np.ones((n, n), dtype=dtype)
    outputs = [np.empty_like(a) for _ in range(count)]
    best = math.inf
    with threadpool_limits(1), ThreadPoolExecutor(count) as pool:
        for _ in range(repeats + 1):  # the first starts the threads
            start = time.perf_counter()
            list(pool.map(lambda out: np.matmul(a, a, out=out), outputs))
            best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best / 1e9


def plan_study(
    study: StudyFile, *, n_targets: int, n_fillers: int, resources: Resources, rates: Rates | None = None
) -> tuple[StagePlan, ...]:
    """Plan every stage of a study.

    Parameters
    ----------
    study
        The study.
    n_targets, n_fillers
        Images of each role.
    resources
        What it runs on.
    rates
        Measured constants of the model; by default those of `Rates`.

    Returns
    -------
    tuple of StagePlan

    Raises
    ------
    InputError
        If a task does not fit into a worker's memory: names stage, layer, bytes and the way out.
    """
    setting = Setting(n_targets, n_fillers, resources, rates or Rates())
    after = replace(setting, worker_nbytes=extracted_nbytes(study))
    loads = stage_loads(study, setting, ["extract"])
    loads |= stage_loads(study, after, [stage for stage in STAGES if stage != "extract"])
    return tuple(plan for name, some in loads.items() for plan in plan_stage(name, some, resources))


def plan_stage(stage: StageName, loads: Loads, resources: Resources) -> tuple[StagePlan, ...]:
    """Hand out the work of one stage; see `plan_study`."""
    plans = tuple(hand_out(stage, loads, resources.n_workers))
    for plan in plans:
        if plan.task_nbytes > resources.memory_nbytes:
            name = f"{plan.stage} {plan.layer}".strip()
            raise InputError(
                f"{name}: a task needs about {format_nbytes(plan.task_nbytes)} and a worker of this "
                f"profile has {format_nbytes(resources.memory_nbytes)}; give each worker more memory (fewer workers on "
                "this machine, or `memory` in the profile)"
            )
    return plans


def stage_loads(
    study: StudyFile, setting: Setting, stages: Iterable[StageName] = tuple(STAGES)
) -> dict[StageName, Loads]:
    """Return the work of every stage, or of some, that has any."""
    loads = {name: STAGES[name].loads(study, setting) for name in stages}
    return {name: some for name, some in loads.items() if some}


def fit_rates(
    study: StudyFile,
    measured: Mapping[StageName, float],
    *,
    n_targets: int,
    n_fillers: int,
    resources: Resources,
    rates: Rates | None = None,
) -> Rates:
    """Rates whose efficiencies make the plan of a sample give the seconds that its stages were measured to take.

    Parameters
    ----------
    study, n_targets, n_fillers, resources
        The sample, as for `plan_study`.
    measured
        Seconds by stage.
    rates
        The other constants, which stay; best measured too.
    """
    rates = rates or Rates()

    def planned(stage: StageName, efficiency: float) -> float:
        of = replace(rates, efficiency={**rates.efficiency, stage: efficiency})
        plans = plan_study(study, n_targets=n_targets, n_fillers=n_fillers, resources=resources, rates=of)
        return sum(plan.seconds for plan in plans if plan.stage == stage)

    fitted = {stage: _fitted(partial(planned, stage), seconds) for stage, seconds in measured.items()}
    return replace(rates, efficiency={**rates.efficiency, **fitted})


def _fitted(planned: Callable[[float], float], seconds: float) -> float:
    """The efficiency with which a stage is planned to take some seconds: the more, the fewer."""
    # A sample may be too small for the products to be seen at all: they get a twentieth of its time then.
    seconds = max(seconds, planned(math.inf) + 0.05 * seconds)
    low, high = 1e-6, 1e6
    while high / low > 1 + 1e-6:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if planned(middle) < seconds else (middle, high)
    return low
