"""Distances: ours from a Zarr store against FAISS and scikit-learn in memory, a wide layer, a large pool.

    python benchmarks/distances.py peers                    # fc2 and block5_pool sizes: time, and wrong neighbours
    python benchmarks/distances.py wide --images 4608       # block1_pool size: bytes read, peak memory of the worker
    python benchmarks/distances.py pool --images 100000     # fc2 size, many images

Activations are synthetic: ReLU of correlated factors, and among them near-duplicates of large norm. Times are the best
of `--repeat`; ours runs on a Dask worker process of its own with all the threads. FAISS (`pip install faiss-cpu`) is
left out where it is not installed.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from distspc.deployment.session import deploy
from distspc.distances.build import nearest_distances
from distspc.layers import LAYERS
from distspc.messages import format_nbytes
from distspc.store.format.chunks import activation_chunks
from distspc.store.store import Store
from distspc.tasks import ranges
from distspc.testing.stores import image_ids, write_image_table

if TYPE_CHECKING:
    from distributed import Client

N_THREADS = len(os.sched_getaffinity(0))
N_FACTORS = 32
N_CLOSE = 60


class Activations:
    """Synthetic activations of one layer, made chunk row by chunk row."""

    def __init__(self, n_targets: int, n_images: int, n_features: int, *, close: bool = True) -> None:
        self.n_targets, self.n_images, self.n_features = n_targets, n_images, n_features
        self.mixing = np.random.default_rng(0).standard_normal((N_FACTORS, n_features), dtype=np.float32)
        self.close = min(N_CLOSE, n_targets, (n_images - n_targets) // 2) if close else 0

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows start..stop; the first targets are 30 times as large, and two fillers each all but the same."""
        values = self._plain(start, stop)
        for i in range(start, stop):
            target = i if i < self.close else (i - self.n_targets) // 2
            if i < self.close or self.n_targets <= i < self.n_targets + 2 * self.close:
                values[i - start] = 30 * self._plain(target, target + 1)[0]
                if i >= self.n_targets:
                    # The second is closer by one part in a hundred: float32 sums of squares cannot tell.
                    size = 1e-3 if (i - self.n_targets) % 2 else 1.01e-3
                    rng = np.random.default_rng(10_000_000 + target)
                    values[i - start] += size * rng.standard_normal(self.n_features, dtype=np.float32)
        return values

    def _plain(self, start: int, stop: int) -> np.ndarray:
        found = []
        for i in range(start, stop):
            rng = np.random.default_rng(i)
            row = rng.standard_normal(N_FACTORS, dtype=np.float32) @ self.mixing
            row += rng.standard_normal(self.n_features, dtype=np.float32)
            found.append(np.maximum(row - 2, 0, out=row))
        return np.stack(found)


def write_store(path: Path, layer: str, activations: Activations) -> None:
    """Write image table and activations, one chunk row at a time."""
    a = activations
    ids = image_ids(a.n_targets, a.n_images - a.n_targets)
    write_image_table(path, ids, a.n_targets)
    sizes = activation_chunks(a.n_images, a.n_features)
    Store(path).layer(layer).allocate(coords={"image": ids, "feature": a.n_features}, chunks=sizes, recipe={})
    for start, stop in ranges(a.n_images, sizes["image"]):
        rows = a.rows(start, stop)
        Store(path).layer(layer).write("activation", rows, image=slice(start, stop))


@contextmanager
def worker(memory_gib: float) -> Iterator[Client]:
    """One worker process with all threads in its products and a memory limit."""
    overrides = ["workers=1", f"cores-per-worker={N_THREADS}", f"memory-per-worker={memory_gib} GiB"]
    with deploy("local", overrides=overrides) as client:
        yield client


def read_by_process() -> int:
    """Bytes this process has asked the system for, from disk or its cache."""
    return int(Path("/proc/self/io").read_text().split()[1])


def peak_nbytes() -> int:
    """Most memory this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def ours(client: Client, path: Path, layer: str, memory_gib: float) -> tuple[float, int, np.ndarray]:
    """Seconds from store to neighbours, bytes the worker read, positions of the neighbours."""
    Store(path).distances.remove()
    before = sum(client.run(read_by_process).values())
    started = time.perf_counter()
    tasks = nearest_distances(path, layer=layer, memory_nbytes=int(0.6 * memory_gib * 2**30))
    for future in client.compute(tasks):
        future.result()
    seconds = time.perf_counter() - started
    read = sum(client.run(read_by_process).values()) - before
    return seconds, read, Store(path).distances.read("neighbour_index", layer=0)[:, 0]


def ceiling(n: int = 4000, repeat: int = 4) -> float:
    """GFLOP/s of a float32 matrix product n x n x n, the best of some."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((n, n), dtype=np.float32) for _ in range(2))
    return 2 * n**3 / min(timed(lambda: a @ b)[0] for _ in range(repeat)) / 1e9


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Seconds and result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def without_self(found: np.ndarray) -> np.ndarray:
    """First of the nearest (n, k) that is not the row itself."""
    own = found == np.arange(len(found))[:, None]
    return found[np.arange(len(found)), np.argmin(own, axis=1)]


def faiss_neighbours(x: np.ndarray, n_targets: int) -> np.ndarray:
    """FAISS IndexFlatL2 in float32."""
    import faiss

    faiss.omp_set_num_threads(N_THREADS)
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    return without_self(index.search(x[:n_targets], 2)[1])


def sklearn_neighbours(x: np.ndarray, n_targets: int) -> np.ndarray:
    """scikit-learn brute force."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(x)
    return without_self(found.kneighbors(x[:n_targets], return_distance=False))


def true_neighbours(x: np.ndarray, n_targets: int, n_best: int = 8) -> np.ndarray:
    """Float64: the best few by products, then over x - y."""
    square = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    nearest = np.empty(n_targets, dtype=np.int64)
    for start, stop in ranges(n_targets, 256):
        inner = np.zeros((stop - start, len(x)))
        for a, b in ranges(x.shape[1], 2048):
            inner += x[start:stop, a:b].astype(np.float64) @ x[:, a:b].astype(np.float64).T
        estimate = square - 2 * inner
        estimate[np.arange(stop - start), np.arange(start, stop)] = np.inf
        best = np.sort(np.argpartition(estimate, n_best, axis=1)[:, :n_best], axis=1)
        for i, few in enumerate(best, start):
            exact = [((x[i].astype(np.float64) - x[j]) ** 2).sum() for j in few]
            nearest[i] = few[int(np.argmin(exact))]
    return nearest


def peers(args: argparse.Namespace, folder: Path) -> None:
    """Ours from the store against peers in memory."""
    print("| layer | what | seconds | GFLOP/s | of the ceiling | wrong neighbours |\n|---|---|---|---|---|---|")
    for layer in args.layers:
        n_features, path = LAYERS[layer].n_features, folder / f"{layer}.zarr"
        write_store(path, layer, Activations(args.targets, args.images, n_features))
        work = 2 * args.targets * args.images * n_features / 1e9
        top, runs = [ceiling()], []
        with worker(args.memory) as client:
            for _ in range(args.repeat):
                runs.append(ours(client, path, layer, args.memory))
                top.append(ceiling())
        loaded, x = timed(lambda: Store(path).layer(layer).read("activation"))  # noqa: B023
        truth = true_neighbours(x, args.targets)
        rows = [("distspc, from the store", min(run[0] for run in runs), runs[-1][2])]
        for name, search, repeat in (
            ("FAISS IndexFlatL2, in memory", faiss_neighbours, args.repeat),
            ("scikit-learn brute force, in memory", sklearn_neighbours, 1),
        ):
            try:
                tries = [timed(partial(search, x, args.targets)) for _ in range(repeat)]
            except ImportError:
                print(f"| {layer} | {name} | not installed | | | |")
                continue
            top.append(ceiling())
            rows.append((name, min(t[0] for t in tries), tries[0][1]))
        print(f"| {layer} | 4000^3 product | | {max(top):.0f} | 1 | |")
        for name, seconds, found in rows:
            rate, wrong = work / seconds, int((found != truth).sum())
            print(f"| {layer} | {name} | {seconds:.2f} | {rate:.0f} | {rate / max(top):.2f} | {wrong} |", flush=True)
        print(f"| {layer} | reading all into memory, which the others need first | {loaded:.2f} | | | |")
        every = ", ".join(f"{run[0]:.2f}" for run in runs)
        print(f"\n{layer}: ours {every} s; ceilings {', '.join(f'{t:.0f}' for t in top)} GFLOP/s\n")


def stream(args: argparse.Namespace, folder: Path, layer: str) -> None:
    """One layer on one worker: time, bytes, memory."""
    n_features, path = LAYERS[layer].n_features, folder / f"{layer}.zarr"
    write_store(path, layer, Activations(args.targets, args.images, n_features, close=False))
    size = sum(p.stat().st_size for p in (path / "activations").rglob("*") if p.is_file())
    work = 2 * args.targets * args.images * n_features / 1e9
    for memory in args.memories or [args.memory]:
        top = ceiling()
        with worker(memory) as client:
            seconds, read, _ = ours(client, path, layer, memory)
            peak = max(client.run(peak_nbytes).values())
        counts = {name: int(Store(path).distances.read(name)[0]) for name in ("n_rescored", "bytes_read")}
        print(f"{layer} x {args.images} images, {args.targets} targets, worker of {memory:g} GiB:")
        print(f"  {seconds:.1f} s, {work / seconds:.0f} GFLOP/s, {work / seconds / top:.2f} of the ceiling ({top:.0f})")
        print(f"  read by the worker {format_nbytes(read)}, stored {format_nbytes(size)}: {read / size:.3f}")
        print(
            f"  activations read {format_nbytes(counts['bytes_read'])}, "
            f"once is {format_nbytes(4 * n_features * args.images)}"
        )
        print(f"  peak memory {format_nbytes(peak)}; {counts['n_rescored']} pairs computed again", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["peers", "wide", "pool"])
    parser.add_argument("--targets", type=int, default=2222)
    parser.add_argument("--images", type=int, default=10_264)
    parser.add_argument("--layers", nargs="+", default=["fc2", "block5_pool"], choices=list(LAYERS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--memory", type=float, default=4, help="limit of the worker, GiB")
    parser.add_argument("--memories", type=float, nargs="+", help="several limits, one run each (wide, pool)")
    parser.add_argument("--folder", type=Path, default=Path("distances-benchmark"), help="scratch, deleted afterwards")
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    try:
        if args.part == "peers":
            peers(args, args.folder)
        else:
            stream(args, args.folder, {"wide": "block1_pool", "pool": "fc2"}[args.part])
    finally:
        shutil.rmtree(args.folder)


if __name__ == "__main__":
    main()
