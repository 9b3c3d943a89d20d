"""Mean and standard deviation of every feature over the images, for ``scaling: z-score``: two passes, exact, tiled.

A task sums one block of images and one chunk of features. Blocks are of `BLOCK_IMAGES` images, whatever the memory and
the number of workers, and their sums are added in the order of the images: the moments are the same to the last bit
however the work is shared out. Nothing but these sums leaves a task: 200 kB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from distspc.kernels.standardisation import Moments, add_rows, add_squares
from distspc.messages import counted
from distspc.store.activations import refuse_given_back
from distspc.store.format.schema import StorePath
from distspc.store.notices import Notice, keep_notices
from distspc.store.scaling import has_moments, moments_recipe
from distspc.store.store import Store
from distspc.tasks import ranges, task, task_key, tokenize

if TYPE_CHECKING:
    from dask.delayed import Delayed


BLOCK_IMAGES = 4096
"""Images that are summed one after the other; part of what makes the last bit of the moments."""

Range = tuple[int, int]


def compute_moments(store: StorePath, *, layers: Sequence[str]) -> list[Delayed]:
    """Build the tasks that compute the moments of features that are missing.

    Call `note_moments` for every layer once they are computed.

    Parameters
    ----------
    store
        Path of a store with the activations of the layers.
    layers
        The layers.

    Returns
    -------
    list of Delayed
        One for each layer and chunk of features; empty if all is there.
    """
    store, built = Store(store), []
    for layer in layers:
        if not has_moments(store, layer):
            prepare(store, layer)
            built += tasks(store, layer)
    return built


def prepare(store: Store, layer: str) -> None:
    """Allocate the moments of a layer, in place of any of other activations."""
    refuse_given_back(store, layer)
    group, of, recipe = store.scaling(layer), store.layer(layer), moments_recipe(store, layer)
    if group.exists() and group.attributes.get("recipe") != recipe:
        group.remove()
    sizes, chunks = of.sizes, of.chunks("activation")
    group.allocate(coords={"feature": sizes["feature"]}, chunks={"feature": chunks["feature"]}, recipe=recipe)


def tasks(store: Store, layer: str) -> list[Delayed]:
    """Build the tasks of a layer that is prepared: one for each chunk of features that is missing."""
    group, of = store.scaling(layer), store.layer(layer)
    there = group.done("mean") & group.done("sd")
    n_images, token = of.sizes["image"], tokenize(str(store), layer, moments_recipe(store, layer))[:8]
    chunks = enumerate(ranges(of.sizes["feature"], group.chunks("mean")["feature"]))
    return [_chunk_task(store, layer, features, n_images, (token, f)) for f, features in chunks if not there[f]]


def _chunk_task(store: Store, layer: str, features: Range, n_images: int, name: tuple[str, int]) -> Delayed:
    token, f = name
    blocks = list(enumerate(ranges(n_images, BLOCK_IMAGES)))

    def key(what: str, *index: int) -> str:
        return task_key(what, layer, token, f, *index)

    sums = [task(_sum)(store, layer, block, features, dask_key_name=key("sums", i)) for i, block in blocks]
    mean = task(_mean)(sums, n_images, dask_key_name=key("mean"))
    squares = [
        task(_sum_squares)(store, layer, block, features, mean, dask_key_name=key("squares", i)) for i, block in blocks
    ]
    return task(_write)(store, layer, features, mean, squares, n_images, dask_key_name=key("moments"))


def note_moments(store: Store, layer: str) -> int:
    """Count the constant features of a layer whose moments are computed, and keep what is to be said of them.

    Returns
    -------
    int
        Number of features that are the same in all images.
    """
    group = store.scaling(layer)
    moments = Moments(group.read("mean"), group.read("sd"))
    n_constant, n_features = moments.n_constant, len(moments.sd)
    same = f"{layer}: {counted(n_constant, 'feature', 'is', of=n_features)} the same in all images"
    notice = Notice(f"{same}; `scaling: z-score` makes them 0.")
    keep_notices(group, "constant", [notice] if n_constant else [])
    group.set_attributes(n_constant=n_constant)
    return n_constant


# ---------------------------------------------------------------- tasks


def _rows(store: Store, layer: str, block: Range, features: Range) -> Iterator[np.ndarray]:
    """Activations of a block, chunk by chunk. What is not finite counts as 0: the measures refuse it by image."""
    group = store.layer(layer)
    chunk = group.chunks("activation")["image"]
    for start in range(block[0] - block[0] % chunk, block[1], chunk):
        images = slice(max(start, block[0]), min(start + chunk, block[1]))
        rows = group.read("activation", image=images, feature=slice(*features))
        yield rows if np.isfinite(rows).all() else np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)


def _sum(store: Store, layer: str, block: Range, features: Range) -> np.ndarray:
    """Task: sum of some features over a block of images."""
    total = np.zeros(features[1] - features[0])
    for rows in _rows(store, layer, block, features):
        add_rows(total, rows)
    return total


def _mean(sums: list[np.ndarray], n_images: int) -> np.ndarray:
    """Task: mean over all images, blocks in order."""
    total = np.zeros_like(sums[0])
    add_rows(total, np.asarray(sums))
    return total / n_images


def _sum_squares(store: Store, layer: str, block: Range, features: Range, mean: np.ndarray) -> np.ndarray:
    """Task: sum of squared deviations of some features over a block of images."""
    total = np.zeros_like(mean)
    for rows in _rows(store, layer, block, features):
        add_squares(total, rows, mean)
    return total


def _write(
    store: Store, layer: str, features: Range, mean: np.ndarray, squares: list[np.ndarray], n_images: int
) -> None:
    """Task: write the moments of some features."""
    total = np.zeros_like(mean)
    add_rows(total, np.asarray(squares))
    moments = Moments.of_sums(mean, total, n_images)
    for name, values in (("mean", moments.mean), ("sd", moments.sd)):
        store.scaling(layer).write(name, values, feature=slice(*features))
