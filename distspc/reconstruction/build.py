"""The reconstruction stage: sampled units of a layer, then one dictionary and one error per image for every seed.

Two kinds of tasks. `gather_units` reads some rows of chunks and keeps the columns that any of the seeds sampled: one
pass over the layer, whatever the number of seeds. `fit_seed` puts those together, trains, encodes all images and writes
its row of group `reconstruction`. Units pass between them as files beside the store, removed when all seeds are done.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from distspc.errors import InputError
from distspc.kernels.sparse_coding import training as kernel
from distspc.messages import counted, format_nbytes
from distspc.reconstruction.fit import fit_seed, missing_seeds
from distspc.reconstruction.gather import gather_range, remove_units, units_folder
from distspc.reconstruction.options import ReconstructionOptions, Solver, Step, TrainOn
from distspc.store.activations import refuse_given_back
from distspc.store.format.schema import StorePath
from distspc.store.scaling import Scaling, require_scaling
from distspc.store.store import Store
from distspc.tasks import task, task_key

if TYPE_CHECKING:
    from dask.delayed import Delayed


logger = logging.getLogger(__name__)


# ---------------------------------------------------------------- build


def fit_sparse_code(
    store: StorePath,
    *,
    layer: str,
    seeds: Sequence[int],
    n_units: int = ReconstructionOptions.n_units,
    n_codewords: int = ReconstructionOptions.n_codewords,
    n_batches: int = ReconstructionOptions.n_batches,
    batch_size: int = ReconstructionOptions.batch_size,
    sparsity: float = ReconstructionOptions.sparsity,
    train_on: TrainOn = ReconstructionOptions.train_on,
    precision: kernel.Precision = ReconstructionOptions.precision,
    solver: Solver = ReconstructionOptions.solver,
    step: Step = ReconstructionOptions.step,
    scaling: Scaling = ReconstructionOptions.scaling,
    memory_nbytes: int | None = None,
) -> list[Delayed]:
    """Build the missing work of one layer: one task per seed, on top of tasks that gather the sampled units.

    The method is that of Lin et al. (2024), doi 10.1038/s41562-024-01870-3. For each seed, ``RandomState(seed)`` draws
    the units (the same for all images), the first dictionary and the batches, in this order. The units are divided
    by the 95th percentile of their absolute values over *all* images; a batch has its own scalar mean taken off; the
    errors come from one code of *all* images, minus one scalar mean over all of them, whatever they were trained on.

    Parameters
    ----------
    store
        Path of the store, with the activations of `layer`.
    layer
        Name of the layer.
    seeds
        Seeds, each 0 to 2**32 - 1.
    n_units, n_codewords, n_batches, batch_size, sparsity
        Size of the model and its training; the defaults are the paper's.
    train_on
        ``all`` draws the rows of batches from targets and fillers, ``fillers`` from fillers alone.
    precision
        Type of the arithmetic; the method's is float64.
    solver
        What encodes the images: ``paper`` the early-stopped model, ``converged`` the lasso code with the same
        dictionary, ``pca`` the residual of as many principal components of the training rows, no training.
    step
        ``stable`` takes the paper's step of 0.01 where the iteration converges with it, and a shorter one in batches
        whose dictionary is too large for it (`distspc.kernels.sparse_coding.stability`); ``paper`` takes 0.01
        always, and fails where that diverges.
    scaling
        ``none``, or ``z-score``: features standardised over all images (`distspc.compute_moments` makes what that
        needs), before the division by the 95th percentile.
    memory_nbytes
        Bytes that a task may plan with; above them units and codes go to disk. None: no limit known.

    Returns
    -------
    Tasks, one per missing seed; empty if all is done.

    Raises
    ------
    InputError
        If a setting cannot be used with this layer; names the layer.
    """
    store = Store(store)
    settings = ReconstructionOptions(
        n_units, n_codewords, n_batches, batch_size, sparsity, train_on, precision, solver, step, scaling
    )
    return layer_tasks(store, layer, seeds, settings, memory_nbytes=memory_nbytes)


def layer_tasks(
    store: Store,
    layer: str,
    seeds: Sequence[int],
    settings: ReconstructionOptions,
    *,
    memory_nbytes: int | None = None,
) -> list[Delayed]:
    """Build the tasks of one layer, one per missing seed; see `fit_sparse_code`."""
    wanted = missing(store, layer, seeds, settings)
    if not wanted:
        remove_units(store, layer)  # what a run that was stopped has left
        return []
    prepare(store, layer, seeds, settings, memory_nbytes=memory_nbytes)
    return tasks(store, layer, seeds, settings, wanted, memory_nbytes=memory_nbytes)


def tasks(
    store: Store,
    layer: str,
    seeds: Sequence[int],
    settings: ReconstructionOptions,
    wanted: Sequence[int],
    *,
    memory_nbytes: int | None = None,
) -> list[Delayed]:
    """Build the tasks of the wanted among the seeds of a layer that is prepared."""
    folder = units_folder(store, layer, seeds, settings)
    sizes, first_row = store.layer(layer).sizes, _first_training_row(store, layer, settings)
    message = {"store": store, "folder": str(folder), "layer": layer}
    token = folder.name.rsplit("-", 1)[1]
    gathered = gather_range(message, token, list(seeds), settings, sizes)
    return [
        task(fit_seed)(
            **message,
            seed=seed,
            seeds=list(seeds),
            settings=asdict(settings),
            first_row=first_row,
            memory_nbytes=memory_nbytes,
            gathered=gathered,
            dask_key_name=task_key("reconstruct", layer, token, seed),
        )
        for seed in wanted
    ]


def missing(store: Store, layer: str, seeds: Sequence[int], settings: ReconstructionOptions) -> list[int]:
    """Seeds of a layer whose results are missing; writes nothing.

    Raises
    ------
    InputError
        If a setting cannot be used with this layer, or the store holds results of other settings.
    """
    sizes, group = store.layer(layer).sizes, store.reconstruction
    _check(settings, layer, seeds, sizes, _first_training_row(store, layer, settings), None)
    require_scaling(store, layer, settings.scaling)
    if not group.exists():
        return list(seeds)
    group.refuse_other_recipe(asdict(settings))
    same = group.n_intact("image") == sizes["image"]
    return missing_seeds(store, layer, seeds) if same else list(seeds)


def prepare(
    store: Store,
    layer: str,
    seeds: Sequence[int],
    settings: ReconstructionOptions,
    *,
    memory_nbytes: int | None = None,
    layers: Sequence[str] = (),
) -> None:
    """Allocate the results of a layer, and remove units of others; a task that does not fit is refused before.

    Rows of all `layers` are made at once, where they are named: in their order then, whichever is computed first.
    """
    refuse_given_back(store, layer)
    first_row = _first_training_row(store, layer, settings)
    _check(settings, layer, seeds, store.layer(layer).sizes, first_row, memory_nbytes)
    if settings.n_codewords > settings.n_units:
        logger.warning("%s: more codewords (%d) than units (%d)", layer, settings.n_codewords, settings.n_units)
    images = store.layer(layer).labels("image")
    _allocate(store, list(layers) or [layer], seeds, images, settings)
    remove_units(store, layer, but=units_folder(store, layer, seeds, settings))


def _first_training_row(store: Store, layer: str, settings: ReconstructionOptions) -> int:
    if settings.train_on == "all":
        return 0
    roles = store.images.read("role").tolist()
    if "filler" not in roles:
        raise InputError(f"{layer}: `train-on: fillers`, but the study has no fillers; add them or train on `all`")
    return roles.index("filler")


def _check(
    settings: ReconstructionOptions,
    layer: str,
    seeds: Sequence[int],
    sizes: dict[str, int],
    first_row: int,
    memory: int | None,
) -> None:
    s, n_rows, n_features = settings, sizes["image"] - first_row, sizes["feature"]
    # Batches are drawn with replacement: their size has no limit but memory, nor has the number of codewords.
    limits = [("units", s.n_units, n_features, f"{layer} has {counted(n_features, 'feature')}")]
    if s.solver == "pca":
        why = f"there are no more components of {counted(n_rows, 'image')} of {layer} at {counted(s.n_units, 'unit')}"
        limits.append(("codewords", s.n_codewords, min(s.n_units, n_rows), why))
    for name, value, limit, why in limits:
        if not 1 <= value <= limit:
            raise InputError(f"reconstruction `{name}: {value}` must be between 1 and {limit}: {why}")
    for name, value in (("codewords", s.n_codewords), ("batch-size", s.batch_size), ("batches", s.n_batches)):
        if value < 1:
            raise InputError(f"reconstruction `{name}: {value}` must be at least 1")
    if not seeds or len(set(seeds)) != len(seeds) or not all(0 <= seed < 2**32 for seed in seeds):
        raise InputError(f"`seeds` of {layer} must be different whole numbers from 0 to 2**32 - 1; got {list(seeds)}")
    needed = s.fit_nbytes(1, keep=True)  # the least; this process may have more threads than the workers
    if memory is not None and needed > memory:
        raise InputError(
            f"{layer}: a batch of {s.batch_size} with {counted(s.n_units, 'unit')} and "
            f"{counted(s.n_codewords, 'codeword')} needs "
            f"{format_nbytes(needed)}, a task may use {format_nbytes(memory)}: lower `batch-size`, `codewords` or "
            "`units`, or give workers more memory"
        )


def _allocate(
    store: Store,
    layers: Sequence[str],
    seeds: Sequence[int],
    images: list[str],
    settings: ReconstructionOptions,
) -> None:
    """Allocate layers, with variables that older stores lack."""
    coords: dict[str, Any] = {
        "layer": list(layers),
        "seed": list(seeds),
        "image": images,
        "unit": settings.n_units,
        "codeword": settings.n_codewords,
        "batch": settings.n_batches,
    }
    names = [name for name in store.reconstruction.schema if name not in coords]
    store.reconstruction.allocate(coords=coords, chunks={}, recipe=asdict(settings), variables=names)
