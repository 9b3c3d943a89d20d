"""The reconstruction: a sparse code of every image, for every layer and seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from distspc.errors import InputError
from distspc.kernels.sparse_coding import scaling
from distspc.kernels.sparse_coding.iteration import PAPER
from distspc.kernels.sparse_coding.stability import largest_stable_norm
from distspc.pipeline.compute import MEMORY_SHARE
from distspc.pipeline.needs.sizes import n_features
from distspc.pipeline.needs.work import Loads, PlannedIterations, Rates, Setting
from distspc.pipeline.stages.base import Comparison, Run, Seeds, complete_results, usable_layers
from distspc.pipeline.stages.by_layer import LayerStage, allocated_layers
from distspc.results.training import Iterations, iterations
from distspc.store.activations import refuse_given_back
from distspc.store.format import schema
from distspc.store.format.chunks import activation_chunks

if TYPE_CHECKING:
    from dask.delayed import Delayed

    from distspc.reconstruction.options import ReconstructionOptions
    from distspc.study.file import StudyFile
    from distspc.study.images import StudyImages


SCIPY_NBYTES = 20 * 2**20
"""Memory of SciPy's linear algebra, and of what BLAS keeps for itself."""


class Reconstruct(LayerStage):
    """Reconstruction error of every image, for every layer and seed."""

    name = "reconstruct"
    makes = (schema.RECONSTRUCTION,)
    rests_on = ("extract", "reconstruct")
    urgency = 1
    opens = True

    def comparisons(self, study: StudyFile, images: StudyImages) -> Iterator[tuple[str, Comparison]]:
        """Compare the settings."""
        group = study.stored.reconstruction
        if group.exists():
            yield "", partial(group.refuse_other_recipe, asdict(study.reconstruction_options))

    def check_stored(self, study: StudyFile) -> None:
        """Look whether the activations are there."""
        for layer in usable_layers(study):
            refuse_given_back(study.stored, layer)

    def seeds(self, study: StudyFile) -> Sequence[int]:
        """Seeds that the study asks for."""
        return study.reconstruction.seeds

    def missing(self, run: Run, layer: str) -> Seeds:
        """Seeds of a layer whose results are missing."""
        from distspc.reconstruction import build

        return build.missing(run.store, layer, self.seeds(run.study), run.study.reconstruction_options)

    def prepare(self, run: Run, layer: str, plan: Any = None) -> None:
        """Allocate the results of a layer, and remove units that other settings have gathered."""
        from distspc.reconstruction import build

        study, layers = run.study, allocated_layers(run)
        options = study.reconstruction_options
        build.prepare(run.store, layer, self.seeds(study), options, memory_nbytes=plan, layers=layers)

    def tasks(self, run: Run, layer: str, missing: Seeds, plan: Any) -> Mapping[int | str | None, list[Delayed]]:
        """Build the task of every missing seed."""
        from distspc.reconstruction import build

        study, wanted = run.study, [seed for seed in missing if isinstance(seed, int)]
        options, seeds = study.reconstruction_options, self.seeds(study)
        tasks = build.tasks(run.store, layer, seeds, options, wanted, memory_nbytes=plan)
        return {seed: [task] for seed, task in zip(wanted, tasks, strict=True)}

    def clean(self, run: Run) -> None:
        """Remove gathered units, of failed seeds too."""
        from distspc.reconstruction.gather import remove_units

        for layer in run.study.layers:
            remove_units(run.store, layer)

    def status(self, study: StudyFile) -> Iterator[tuple[str, int, int]]:
        """How many seeds are complete, layer by layer."""
        seeds = list(study.reconstruction.seeds)
        for layer in study.layers:
            done = complete_results(study, schema.RECONSTRUCTION, layer=[layer], seed=seeds)
            yield layer, int(done.sum()), done.size

    def iterations(self, study: StudyFile) -> dict[str, Iterations]:
        """Iterations of the batches of finished seeds, by layer; none of a store of other settings, or damaged."""
        group = study.stored.reconstruction
        try:
            if group.exists():
                group.refuse_other_recipe(asdict(study.reconstruction_options))
            return iterations(study.stored, study.layers, study.reconstruction.seeds)
        except InputError:  # a run says so
            return {}

    def remarks(self, study: StudyFile) -> Mapping[str, str]:
        """How many iterations a batch took."""
        return {layer: str(found) for layer, found in self.iterations(study).items()}

    def loads(self, study: StudyFile, setting: Setting) -> Loads:
        """Units gathered once a layer; a training and an encoding of all images for every layer and seed."""
        s, rates, n_images = study.reconstruction.options, setting.rates, setting.n_images
        k, units, batch, n_seeds = s.n_codewords, s.n_units, s.batch_size, len(study.reconstruction.seeds)
        encoding = rates.test_steps * 2.0 * n_images * k * k + 4.0 * n_images * units * k
        planned = planned_iterations(s, setting.iterations, study.layers, rates)

        def flop(layer: str) -> float:
            a_batch = planned[layer].mean * 2.0 * batch * k * k
            training = s.n_batches * (a_batch + 8.0 * batch * units * k + 2.0 * units * k * k)
            return (training + encoding) * n_seeds / (1.0 if s.precision == "float32" else rates.float64_share)

        return Loads(
            tuple(
                [
                    setting.load(self.name, layer, *_gathering(study, layer, setting), 0.0),
                    setting.load(self.name, layer, n_seeds, _fit_nbytes(study, layer, setting), 0.0, flop(layer)),
                ]
                for layer in study.layers
            )
        )


def planned_iterations(
    s: ReconstructionOptions, known: Mapping[str, float], layers: Sequence[str], rates: Rates | None = None
) -> dict[str, PlannedIterations]:
    """Iterations a batch of every layer's training: as its finished seeds took, or those of others, or by default."""
    of_others = PlannedIterations(_default_iterations(s, rates or Rates()), "default")
    if known:
        of_others = PlannedIterations(sum(known.values()) / len(known), "store")
    return {layer: PlannedIterations(known[layer], "layer") if layer in known else of_others for layer in layers}


def _default_iterations(s: ReconstructionOptions, rates: Rates) -> float:
    # ||Phi||^2 is at most the number of unit codewords: fewer than the bound never need a shorter step.
    if s.step == "paper" or s.n_codewords <= largest_stable_norm(PAPER.step):
        return rates.train_steps
    share = min(s.n_batches, rates.shortened_batches) / s.n_batches
    return rates.train_steps + share * (rates.shortened_steps - rates.train_steps)


def _gathering(study: StudyFile, layer: str, setting: Setting) -> tuple[int, int, float]:
    """Tasks that gather units, bytes of a worker, bytes that all read."""
    from distspc.store.group import CHUNKS_AT_ONCE

    features, n_images = n_features(study, layer), setting.n_images
    chunk = activation_chunks(n_images, features)
    rows, n_gathered = _gathered_part(study, layer, n_images)
    held = 8 * chunk["image"] * min(features, CHUNKS_AT_ONCE * chunk["feature"])  # as stored, and uncompressed
    nbytes = setting.worker_nbytes + held + 4 * (rows + chunk["image"]) * n_gathered
    return math.ceil(n_images / rows), nbytes, 4.0 * features * n_images


def _gathered_part(study: StudyFile, layer: str, n_images: int) -> tuple[int, int]:
    """Images and units that a task gathers."""
    from distspc.reconstruction.gather import gather_rows

    features, options = n_features(study, layer), study.reconstruction
    rows = gather_rows(n_images, activation_chunks(n_images, features)["image"], features)
    return rows, min(len(options.seeds) * options.n_units, features)


def _fit_nbytes(study: StudyFile, layer: str, setting: Setting) -> int:
    options, n_images, resources = study.reconstruction.options, setting.n_images, setting.resources
    held = options.held(n_images, MEMORY_SHARE * resources.memory_nbytes, resources.cores)
    # First the units are put together, of a gathered part after the other, and their quantile is found.
    rows, n_gathered = _gathered_part(study, layer, n_images)
    sampling = 4 * (rows * (n_gathered + options.n_units) + 4 * scaling.QUANTILE_VALUES)
    sampling += 0 if held.on_disk else 4 * n_images * options.n_units
    return setting.worker_nbytes + max(SCIPY_NBYTES + held.nbytes, sampling)
