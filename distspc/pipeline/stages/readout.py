"""What a linear readout needs of each layer, whatever the scores: the Gram matrix of its targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from distspc.distances.planning.cost import Speeds
from distspc.distances.planning.cuts import memory_of
from distspc.distances.planning.gram_plan import FLOAT64_COST, GramPlan, plan_grams, steps
from distspc.distances.planning.plan import LayerSize
from distspc.errors import InputError
from distspc.kernels.statistics import ridge
from distspc.memorability.options import ReadoutOptions
from distspc.messages import counted, format_nbytes
from distspc.pipeline.compute import planned_workers
from distspc.pipeline.needs.sizes import n_features
from distspc.pipeline.needs.work import Load, Loads, Setting
from distspc.pipeline.stages.base import Comparison, Run, Seeds, complete_results, usable_layers
from distspc.pipeline.stages.by_layer import LayerStage, allocated_layers
from distspc.schedule import Workers
from distspc.store.activations import refuse_given_back
from distspc.store.format import schema
from distspc.store.format.chunks import activation_chunks
from distspc.tasks import Refusal

if TYPE_CHECKING:
    from dask.delayed import Delayed

    from distspc.distances.options import LayerOptions
    from distspc.study.file import StageName, StudyFile
    from distspc.study.images import StudyImages


XARRAY_NBYTES = 70 * 2**20
"""Memory of xarray, which reads the scores' tables in a worker."""


class Readout(LayerStage):
    """Gram matrices of the targets at every layer, where the study asks for readouts."""

    name = "readout"
    makes = (schema.GRAM,)
    rests_on = ("extract", "readout")

    def check(self, study: StudyFile, images: StudyImages, stages: Sequence[StageName]) -> None:
        """Look whether a readout is asked for, where nothing else is to be done."""
        if list(stages) == [self.name] and study.relate.readout is None:
            raise InputError("the study has no readout; add `readout: true` under `relate`")

    def comparisons(self, study: StudyFile, images: StudyImages) -> Iterator[tuple[str, Comparison]]:
        """Compare the settings."""
        group = study.stored.gram
        if study.relate.readout is not None and group.exists():
            yield "", partial(group.refuse_other_recipe, {"scaling": study.scaling})

    def check_stored(self, study: StudyFile) -> None:
        """Look whether the activations can be used."""
        from distspc.distances.gram import check_gram

        for layer in usable_layers(study) if study.relate.readout is not None else []:
            refuse_given_back(study.stored, layer)
            check_gram(_options(study, layer))

    def reads_activations(self, study: StudyFile) -> bool:
        """Whether a readout is asked for."""
        return study.relate.readout is not None

    def missing(self, run: Run, layer: str) -> Seeds:
        """Whether the layer's matrix is missing."""
        from distspc.distances import gram

        wanted = run.study.relate.readout is not None and gram.missing(_options(run.study, layer))
        return [None] if wanted else []

    def check_workers(self, study: StudyFile, workers: Workers) -> None:
        """Look whether the smallest tasks of every layer of known size fit."""
        if study.relate.readout is not None:
            plan_grams(
                _sizes(study, [layer for layer in study.layers if study.stored.layer(layer).exists()], 2), workers
            )

    def plans(self, run: Run, layers: Sequence[str], workers: Workers, beside: Sequence[str] = ()) -> Mapping[str, Any]:
        """How the layers are cut, all together."""
        from distspc.distances.gram import check_gram

        plans: dict[str, Any] = {}
        for layer in layers:
            try:
                size = check_gram(_options(run.study, layer))
                _require_memory(size.n_targets, workers)
                plans |= plan_grams([size], replace(workers, n=max(1, workers.n // len(layers))))
            except InputError as error:
                plans[layer] = Refusal(error)
        return plans

    def prepare(self, run: Run, layer: str, plan: Any = None) -> None:
        """Allocate the layer's matrix."""
        from distspc.distances import gram

        gram.prepare(_options(run.study, layer), plan, layers=allocated_layers(run))

    def tasks(self, run: Run, layer: str, missing: Seeds, plan: Any) -> Mapping[int | str | None, list[Delayed]]:
        """Build the tasks of a layer's blocks."""
        from distspc.distances import gram

        return {None: gram.tasks(_options(run.study, layer), plan)}

    def status(self, study: StudyFile) -> Iterator[tuple[str, int, int]]:
        """Whether each layer's matrix is complete."""
        for layer in study.layers if study.relate.readout is not None else ():
            yield layer, int(complete_results(study, schema.GRAM, layer=[layer]).sum()), 1

    def loads(self, study: StudyFile, setting: Setting) -> Loads | None:
        """Blocks as the stage will cut them, then the readout of every layer, which `relate` makes."""
        if study.relate.readout is None:
            return None
        resources, rates = setting.resources, setting.rates
        workers = planned_workers(resources.n_workers, resources.cores, resources.memory_nbytes)
        speeds = Speeds(setting.speed(self.name), rates.store_bytes_per_s, task_s=rates.task_s)
        plans = plan_grams(_sizes(study, study.layers, setting.n_targets), workers)
        options = study.relate.readout.options
        return Loads(
            tuple(
                [*_layer_loads(plan, speeds, setting.worker_nbytes), _ridge_load(plan, setting, options)]
                for plan in plans.values()
            )
        )


def _sizes(study: StudyFile, layers: Sequence[str], n_targets: int) -> Iterator[LayerSize]:
    """Sizes of layers, whose pool are the targets."""
    for layer in layers:
        features = n_features(study, layer)
        chunk = activation_chunks(n_targets, features)
        yield LayerSize(layer, n_targets, (0, n_targets), features, chunk["image"], chunk["feature"])


def _require_memory(n_targets: int, workers: Workers) -> None:
    """Refuse to make a matrix that no worker could read scores out of."""
    needed, memory = ridge.nbytes(n_targets), memory_of(workers)
    if needed > memory:
        raise InputError(
            f"a readout of {counted(n_targets, 'target')} holds about {format_nbytes(needed)} and a task may use "
            f"{format_nbytes(memory)}; give the workers more memory, or leave out `readout` under `relate`"
        )


def _layer_loads(plan: GramPlan, speeds: Speeds, worker_nbytes: int) -> list[Load]:
    """Products of feature tiles; their sums and what is written of them."""
    products, *others = steps(plan, speeds)
    layer, nbytes = plan.size.layer, worker_nbytes + plan.task_nbytes
    loads = [Load(layer, products.n_tasks, nbytes, plan.read_nbytes, plan.flop, products.seconds)]
    return loads + [Load(layer, step.n_tasks, nbytes, 0.0, 0.0, step.seconds, aside=True) for step in others]


def _ridge_load(plan: GramPlan, setting: Setting, options: ReadoutOptions) -> Load:
    """The readout of a layer's matrix."""
    n = plan.size.n_targets
    flop, nbytes = ridge.flop(n, options.n_folds, len(options.penalties)), 8.0 * n**2
    seconds = FLOAT64_COST * flop / setting.speed("readout") + nbytes / setting.rates.store_bytes_per_s
    memory = setting.worker_nbytes + XARRAY_NBYTES + ridge.nbytes(n)
    return Load(plan.size.layer, 1, memory, nbytes, flop, seconds + setting.rates.task_s)


def _options(study: StudyFile, layer: str) -> LayerOptions:
    from distspc.distances.options import LayerOptions

    return LayerOptions(scaling=study.scaling, store=study.stored, layer=layer)
