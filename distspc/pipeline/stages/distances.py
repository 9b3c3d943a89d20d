"""The distances: every target's nearest neighbours, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from distspc.distances.planning.cost import Speeds, steps
from distspc.distances.planning.cuts import plan_layers, require_memory
from distspc.distances.planning.plan import DistancePlan, LayerSize
from distspc.errors import InputError
from distspc.layers import N_CLASSES
from distspc.pipeline.compute import planned_workers
from distspc.pipeline.needs.sizes import n_features
from distspc.pipeline.needs.work import Load, Loads, Setting
from distspc.pipeline.stages.base import Comparison, Run, Seeds, complete_results, usable_layers
from distspc.pipeline.stages.by_layer import LayerStage, allocated_layers
from distspc.schedule import Workers
from distspc.store.activations import refuse_given_back
from distspc.store.format import schema
from distspc.store.format.chunks import IMAGES_PER_CHUNK, activation_chunks
from distspc.study.images import check_sizes
from distspc.tasks import Refusal

if TYPE_CHECKING:
    from dask.delayed import Delayed

    from distspc.distances.options import LayerOptions
    from distspc.study.file import StageName, StudyFile
    from distspc.study.images import StudyImages


class Distances(LayerStage):
    """Distinctiveness of every target at every layer."""

    name = "distances"
    makes = (schema.DISTANCES,)
    rests_on = ("extract", "distances")

    def check(self, study: StudyFile, images: StudyImages, stages: Sequence[StageName]) -> None:
        """Look whether there will be neighbours enough, before the activations are extracted."""
        if "extract" in stages:
            check_sizes(study, *images.counts)

    def comparisons(self, study: StudyFile, images: StudyImages) -> Iterator[tuple[str, Comparison]]:
        """Compare the settings."""
        group = study.stored.distances
        if group.exists():
            yield "", partial(group.refuse_other_recipe, asdict(study.distance_options))

    def check_stored(self, study: StudyFile) -> None:
        """Look whether the activations can be used with these settings."""
        from distspc.distances.checks import check_distances

        for layer in usable_layers(study):
            check_distances(_options(study, layer))
            refuse_given_back(study.stored, layer)

    def missing(self, run: Run, layer: str) -> Seeds:
        """Whether the layer's row is missing."""
        from distspc.distances import build

        return [None] if build.missing(_options(run.study, layer)) else []

    def check_workers(self, study: StudyFile, workers: Workers) -> None:
        """Look whether there is any cut of every layer that fits."""
        for size in _planned_sizes(study, _layers_of_known_size(study), 1, IMAGES_PER_CHUNK):
            require_memory(size, workers)

    def plans(
        self, run: Run, layers: Sequence[str], workers: Workers, beside: Sequence[str] = ()
    ) -> Mapping[str, tuple[DistancePlan, int | None]]:
        """How the layers are cut, all together, and the memory of a task."""
        from distspc.distances.checks import check_distances

        sizes = {layer: check_distances(_options(run.study, layer)) for layer in layers}
        plans: dict[str, Any] = {}
        for size in sizes.values():
            try:
                require_memory(size, workers)
            except InputError as error:
                plans[size.layer] = Refusal(error)
        others = _sizes_beside(run.study, beside, sizes, workers)
        shared = {layer: size for layer, size in (sizes | others).items() if layer not in plans}
        cut = plan_layers((shared[layer] for layer in run.study.layers if layer in shared), workers)
        return plans | {layer: (cut[layer], workers.task_memory_nbytes) for layer in layers if layer in cut}

    def prepare(self, run: Run, layer: str, plan: Any = None) -> None:
        """Allocate the layer's row."""
        from distspc.distances import build

        build.prepare(_options(run.study, layer), plan[0], layers=allocated_layers(run))

    def tasks(self, run: Run, layer: str, missing: Seeds, plan: Any) -> Mapping[int | str | None, list[Delayed]]:
        """Build the tasks of a layer; the last writes its row."""
        from distspc.distances import build

        return {None: build.tasks(_options(run.study, layer), plan[0], memory_nbytes=plan[1])}

    def status(self, study: StudyFile) -> Iterator[tuple[str, int, int]]:
        """Whether each layer's row is complete."""
        for layer in study.layers:
            yield layer, int(complete_results(study, schema.DISTANCES, layer=[layer]).sum()), 1

    def loads(self, study: StudyFile, setting: Setting) -> Loads:
        """Tiles as the stage will cut them for these workers."""
        resources, rates = setting.resources, setting.rates
        workers = planned_workers(resources.n_workers, resources.cores, resources.memory_nbytes)
        speeds = Speeds(setting.speed(self.name), rates.store_bytes_per_s, task_s=rates.task_s)
        plans = plan_layers(_planned_sizes(study, study.layers, setting.n_targets, setting.n_fillers), workers)
        return Loads(tuple(_layer_loads(plan, speeds, setting.worker_nbytes) for plan in plans.values()))


def _layers_of_known_size(study: StudyFile) -> list[str]:
    """Layers of which no network need be loaded to know their size."""
    if study.activations is not None:
        return list(study.layers)
    known = [label for one in study.networks if one.options.weights in N_CLASSES for label in one.labels]
    return [layer for layer in study.layers if layer in known or study.stored.layer(layer).exists()]


def _planned_sizes(study: StudyFile, layers: Sequence[str], n_targets: int, n_fillers: int) -> Iterator[LayerSize]:
    n_images, options = n_targets + n_fillers, study.distinctiveness
    pool = (n_targets if options.protocol == "spc-public" else 0, n_images)
    for layer in layers:
        features = n_features(study, layer)
        chunk = activation_chunks(n_images, features)
        yield LayerSize(layer, n_targets, pool, features, chunk["image"], chunk["feature"], options.neighbours)


def _sizes_beside(
    study: StudyFile, beside: Sequence[str], known: Mapping[str, LayerSize], workers: Workers
) -> dict[str, LayerSize]:
    """Sizes of layers that share the workers with those that are known, but for layers that will be refused."""
    n_targets, n_images = next((size.n_targets, size.pool[1]) for size in known.values())
    found = {}
    for layer in (name for name in beside if name not in known):
        with suppress(InputError):
            (size,) = _planned_sizes(study, [layer], n_targets, n_images - n_targets)
            require_memory(size, workers)
            found[layer] = size
    return found


def _layer_loads(plan: DistancePlan, speeds: Speeds, worker_nbytes: int) -> list[Load]:
    """Tiles, with the products of all pairs; what is done with them; of feature tiles, rows that are read again."""
    size, (tiles, *others) = plan.size, steps(plan, speeds)
    flop, memory = 2.0 * size.n_targets * size.n_pool * size.n_features, worker_nbytes + plan.task_nbytes
    loads = [Load(size.layer, tiles.n_tasks, memory, plan.read_nbytes - plan.settled_nbytes, flop, tiles.seconds)]
    for i, step in enumerate(others, start=2):
        nbytes = plan.settled_nbytes if i == len(others) else 0  # all but the results come after
        loads.append(Load(size.layer, step.n_tasks, memory, nbytes, 0.0, step.seconds, aside=nbytes == 0))
    return loads


def _options(study: StudyFile, layer: str) -> LayerOptions:
    from distspc.distances.options import LayerOptions

    return LayerOptions(**asdict(study.distance_options), store=study.stored, layer=layer)
