"""What one file a layer and task costs in place of one for every chunk: written and read in turns, same values.

    python benchmarks/shards.py                   # block1_pool and block4_pool, 9 rounds, temporary folder

Three ways: `chunks` (a file for every 64 images x 25,088 features, as before), `shards` (one for 64 images, as
`distspc.store.format.shards` reads and writes it) and `zarr` (the same files by Zarr's own codec). Ratios of medians to
`chunks`, processor time and clock; everything is read back and compared. Where others use the machine, processor time
is what counts.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import zarr
from zarr.buffer.cpu import NDBuffer

from distspc.layers import LAYERS
from distspc.store.format.chunks import FEATURES_PER_CHUNK, IMAGES_PER_CHUNK
from distspc.store.group import Group
from distspc.store.store import Store
from distspc.testing.stores import image_ids, relu_activations

WAYS = ("chunks", "shards", "zarr")


def main() -> None:
    """Print a table for every layer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", nargs="+", default=["block1_pool", "block4_pool"])
    parser.add_argument("--tasks", type=int, default=4, help="of 64 images each")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--directory", default=None)
    settings = parser.parse_args()
    print("| layer | what | way | processor, s | clock, s | processor / chunks | clock / chunks |")
    print("|---|---|---|---|---|---|---|")
    for layer in settings.layers:
        with tempfile.TemporaryDirectory(prefix="shards-", dir=settings.directory) as folder:
            measure(layer, settings, Path(folder))


def measure(layer: str, settings: argparse.Namespace, folder: Path) -> None:
    """Write and read a layer in every way, in another order each round."""
    values = relu_activations(IMAGES_PER_CHUNK, int(np.prod(LAYERS[layer].shape)))
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(settings.rounds):
        for way in WAYS[turn % 3 :] + WAYS[: turn % 3]:
            group = allocate(folder / way, values.shape[1], settings.tasks, way)
            works = work(group, values, settings.tasks, way)
            for what, do in works.items():
                found.setdefault((what, way), []).append(timed(do))
            shutil.rmtree(folder / way)
    for what, way in found:
        seconds, base = (
            [statistics.median(column) for column in zip(*found[what, of], strict=True)] for of in (way, "chunks")
        )
        ratios = " | ".join(f"{a / b:.2f}" for a, b in zip(seconds, base, strict=True))
        print(f"| {layer} | {what} | {way} | {seconds[0]:.3f} | {seconds[1]:.3f} | {ratios} |", flush=True)


def allocate(path: Path, n_features: int, n_tasks: int, way: str) -> Group:
    """Make a layer's array."""
    group = Store(path).layer("layer")
    group.allocate(
        coords={"image": image_ids(n_tasks * IMAGES_PER_CHUNK, 0), "feature": n_features},
        chunks={"image": IMAGES_PER_CHUNK, "feature": FEATURES_PER_CHUNK},
        shards=None if way == "chunks" else {"feature": n_features},
        recipe={},
    )
    return group


def work(group: Group, values: np.ndarray, n_tasks: int, way: str) -> dict[str, Callable[[], None]]:
    """What is timed: all tasks written; everything read, into memory that is there; each chunk of features read."""
    cuts = [slice(start, start + FEATURES_PER_CHUNK) for start in range(0, values.shape[1], FEATURES_PER_CHUNK)]
    blocks = [np.ascontiguousarray(values[:, cut]) for cut in cuts]  # as extraction holds them
    rows = [slice(i * IMAGES_PER_CHUNK, (i + 1) * IMAGES_PER_CHUNK) for i in range(n_tasks)]
    out = np.empty((rows[-1].stop, values.shape[1]), np.float32)
    column = np.empty((rows[-1].stop, FEATURES_PER_CHUNK), np.float32)
    array = zarr.open_array(group.path / "activation", mode="r+").with_config({"write_empty_chunks": True})

    def write() -> None:
        for row in rows:
            if way == "zarr":
                array[row] = values
            else:
                parts = (({"image": row, "feature": cut}, block) for cut, block in zip(cuts, blocks, strict=True))
                group.write_parts("activation", parts)

    def read(into: np.ndarray, cut: slice) -> None:
        if way == "zarr":
            array.get_orthogonal_selection((slice(None), cut), out=NDBuffer.from_numpy_array(into))
        else:
            group.read("activation", feature=cut, out=into)
        np.testing.assert_array_equal(into[-3:], values[-3:, cut])

    def read_columns() -> None:
        for cut in cuts:
            read(column, cut)

    return {"write": write, "read": partial(read, out, slice(None)), "read by features": read_columns}


def timed(do: Callable[[], None]) -> tuple[float, float]:
    """Processor time and clock."""
    processor, clock = time.process_time(), time.perf_counter()
    do()
    return time.process_time() - processor, time.perf_counter() - clock


if __name__ == "__main__":
    main()
