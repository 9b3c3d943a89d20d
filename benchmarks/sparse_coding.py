"""Sparse coding beside a literal transcription of the method, and layers x seeds through Dask.

    python benchmarks/sparse_coding.py kernel [--batches 40] [--long 1000] [--threads 2]
    OPENBLAS_NUM_THREADS=1 python benchmarks/sparse_coding.py kernel --threads 1    # by processor time
    python benchmarks/sparse_coding.py dask [--batches 40]
    python benchmarks/sparse_coding.py million
    python benchmarks/sparse_coding.py steps --store STUDY.zarr --layer block5_pool [--seed 0] [--batches 1000]
    python benchmarks/sparse_coding.py steps --norm 199 [--batches 5]

The slow side is the oracle of the tests. Ours runs before and after it, in the same process, and the mean counts:
a busy machine then bears on both. Steps are counted and compared batch by batch. `steps` trains on a layer of any
store, or encodes batches with a dictionary whose ||Phi||^2 is named; one thread, and its processor time counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import threading
import time
from pathlib import Path
from types import ModuleType

import numpy as np

N_IMAGES, N_TARGETS, N_UNITS, N_CODEWORDS, BATCH_SIZE = 10_264, 2_222, 1000, 500, 250


def load_oracle() -> ModuleType:
    path = Path(__file__).parents[1] / "tests" / "oracles" / "sparse_coding.py"
    spec = importlib.util.spec_from_file_location("oracle_sparse_coding", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def relu_like(n_images: int = N_IMAGES, n_features: int = 4096, *, seed: int = 1) -> np.ndarray:
    """Activations like those of a late layer: 200 factors of falling weight, units of their own gain, 70 % zeros."""
    rng = np.random.default_rng(seed)
    weights = np.arange(1, 201) ** -0.7
    common = (rng.standard_normal((n_images, 200)) * weights) @ rng.standard_normal((200, n_features))
    common /= common.std(axis=0)
    gain = np.exp(0.5 * rng.standard_normal(n_features))
    values = (common + 0.3 * rng.standard_normal((n_images, n_features))) * gain
    return np.maximum(values - np.quantile(values[::10], 0.7), 0).astype(np.float32)


def timed(work, *args, **kwargs):
    start = time.perf_counter()
    result = work(*args, **kwargs)
    return time.perf_counter() - start, result


def with_cost(work, *args, **kwargs):
    """Seconds on the clock, seconds of processor time, result."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work(*args, **kwargs)
    return np.array([time.perf_counter() - clock, time.process_time() - processor]), result


def compare(n_batches: int, n_long: int, n_threads: int | None) -> None:
    from distspc.kernels.sparse_coding import training as kernel

    oracle, activations = load_oracle(), relu_like()

    def drawn():
        return oracle.draw(0, activations, N_UNITS, N_CODEWORDS)

    def ours(precision, n):
        rng, _, x, phi = drawn()
        how = {"n_batches": n, "batch_size": BATCH_SIZE, "precision": precision, "n_threads": n_threads}
        return with_cost(kernel.train, x, phi, rng, **how)

    def encoded(precision):
        return with_cost(kernel.encode, x, dictionary, precision=precision, n_threads=n_threads)

    rng, _, x, phi = drawn()
    print(f"{len(x)} x {N_UNITS}, {np.mean(x == 0):.0%} zeros, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    ours("float64", 2)
    before = {p: ours(p, n_batches)[0] for p in ("float64", "float32")}
    cost, (dictionary, training_error, n_steps, _) = with_cost(oracle.train, x, phi, rng, n_batches, BATCH_SIZE)
    print(f"train, {n_batches} batches of {BATCH_SIZE}: {n_steps.sum()} inner steps ({n_steps.min()}-{n_steps.max()})")
    print(f"  literal  {cost[0]:8.2f} s, {cost[1]:8.2f} s of processor time")
    for precision in ("float64", "float32"):
        after, trained = ours(precision, n_batches)
        mean = (before[precision] + after) / 2
        deviation = np.max(np.abs(trained.training_error / training_error - 1))
        print(
            f"  {precision}  {mean[0]:8.2f} s, {mean[1]:8.2f} s of processor time; times as fast: "
            f"{cost[0] / mean[0]:5.1f}, {cost[1] / mean[1]:5.1f}; same steps in "
            f"{np.mean(trained.n_steps == n_steps):.1%} of batches, training error off by {deviation:.1e} at most"
        )
    before = {p: encoded(p)[0] for p in ("float64", "float32")}
    cost, (error, n_steps, _) = with_cost(oracle.reconstruct, x, dictionary)
    print(f"encode all images: {n_steps} steps\n  literal  {cost[0]:8.2f} s, {cost[1]:8.2f} s of processor time")
    for precision in ("float64", "float32"):
        after, (_, found, stop) = encoded(precision)
        mean = (before[precision] + after) / 2
        print(
            f"  {precision}  {mean[0]:8.2f} s, {mean[1]:8.2f} s of processor time; times as fast: "
            f"{cost[0] / mean[0]:5.1f}, {cost[1] / mean[1]:5.1f}; {stop.n_steps} steps, "
            f"errors off by {np.max(np.abs(found / error - 1)):.1e} at most, r = {np.corrcoef(found, error)[0, 1]:.8f}"
        )
    if n_long:
        compare_precisions(x, ours, n_long)


def compare_precisions(x, ours, n_long):
    from distspc.kernels.sparse_coding import training as kernel

    found = {}
    for precision in ("float64", "float32"):
        cost, trained = ours(precision, n_long)
        more, (_, error, _) = timed(kernel.encode, x, trained.dictionary, precision=precision)
        found[precision] = trained, error
        print(
            f"whole layer, {precision}: {n_long} batches, {trained.n_steps.sum()} steps, "
            f"{int((~trained.converged).sum())} not converged: {cost[0] + more:.1f} s"
        )
    (double, error), (single, other) = found.values()
    print(
        f"  float32 against float64: r = {np.corrcoef(error, other)[0, 1]:.7f} over images, largest difference "
        f"{np.max(np.abs(other / error - 1)):.1e}; same steps in {np.mean(double.n_steps == single.n_steps):.1%} of "
        "batches"
    )


def through_dask(n_batches: int) -> None:
    import dask
    from distributed import Client, LocalCluster

    from distspc.layers import LAYERS
    from distspc.pipeline.compute import compute
    from distspc.reconstruction.build import fit_sparse_code
    from distspc.store.store import Store
    from distspc.testing.stores import make_store

    sizes = {layer: 2048 for layer in LAYERS}
    dask.config.set({"distributed.nanny.pre-spawn-environ.OPENBLAS_NUM_THREADS": 1})
    with tempfile.TemporaryDirectory() as folder:
        path, times = Path(folder) / "study.zarr", {}
        values = {layer: relu_like(n_features=n, seed=i) for i, (layer, n) in enumerate(sizes.items())}
        make_store(path, n_targets=N_TARGETS, n_fillers=N_IMAGES - N_TARGETS, layers=sizes, activations=values)
        del values
        for n_workers in (1, 2):
            Store(path).reconstruction.remove()
            with (
                LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0") as cluster,
                Client(cluster) as client,
            ):
                tasks = []
                for layer in LAYERS:
                    tasks += fit_sparse_code(path, layer=layer, seeds=[0, 1], n_batches=n_batches)
                times[n_workers], _ = timed(compute, tasks, client, label="reconstruct")
            print(f"7 layers x 2 seeds, {n_batches} batches each, {n_workers} workers: {times[n_workers]:.1f} s")
        print(f"  {times[1] / times[2]:.2f} times faster on two workers than on one (one core each)")


def million(n_images: int = 1_000_000, n_units: int = 100, n_codewords: int = 50) -> None:
    """Encode a million images from disk to disk; watch the memory that is not file cache."""
    from distspc.kernels.sparse_coding import training as kernel

    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((n_units, n_codewords))
    dictionary /= np.linalg.norm(dictionary, axis=0)
    with tempfile.TemporaryDirectory() as folder:

        def allocate(shape, dtype):
            path = Path(folder) / f"{rng.integers(2**62)}.npy"
            return np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)

        x = allocate((n_images, n_units), "float32")
        for start in range(0, n_images, 50_000):
            x[start : start + 50_000] = relu_like(50_000, n_units, seed=start)[: n_images - start]
        before = own_memory()
        with Watch() as watch:
            seconds, (_, error, stop) = timed(kernel.encode, x, dictionary, allocate=allocate)
        print(f"{n_images:,} images x {n_units} units, {n_codewords} codewords: {stop.n_steps} steps, {seconds:.1f} s")
        print(f"  own memory {before / 2**20:.0f} MiB before, {watch.peak / 2**20:.0f} MiB at most")
        print(f"  codes on disk: 2 x {n_images * n_codewords * 8 / 2**20:.0f} MiB, input {x.nbytes / 2**20:.0f} MiB")
        _, again, other = kernel.encode(np.array(x), dictionary, part_rows=5000, n_threads=1)
        print(f"  other parts, in memory: {other.n_steps} steps, errors off by {np.max(np.abs(again / error - 1)):.1e}")


# ---------------------------------------------------------------- steps by batch


def steps_of_store(store: str, layer: str, seed: int, n_batches: int) -> None:
    """Train on a layer of a store, as its study would, and say how many steps batches took, and how long."""
    from distspc.kernels.sparse_coding.training import draw_dictionary
    from distspc.reconstruction.fit import sampled_units
    from distspc.reconstruction.gather import gather_units
    from distspc.reconstruction.options import ReconstructionOptions
    from distspc.store.store import Store

    options, opened = ReconstructionOptions(), Store(store)
    n_images = opened.layer(layer).sizes["image"]
    with tempfile.TemporaryDirectory() as folder:
        n_units = options.n_units
        files = [gather_units(opened, folder, layer, start=0, stop=n_images, seeds=[seed], n_units=n_units)]
        sampled = sampled_units(opened, layer, seed, [seed], options, files, None)
    rng, first = sampled.rng, draw_dictionary(sampled.rng, options.n_units, options.n_codewords)
    print(f"{store}, {layer}, seed {seed}: {len(sampled.x)} images, {np.mean(sampled.x == 0):.0%} zeros")
    say_steps(sampled.x, first, options.rule, rng, n_batches)


def steps_of_norm(norm: float, n_batches: int) -> None:
    """Encode batches with a dictionary of a squared norm, nothing learned, and say the same."""
    from distspc.kernels.sparse_coding.iteration import PAPER

    rng, _, x, _ = load_oracle().draw(0, relu_like(), N_UNITS, N_CODEWORDS)
    print(f"||Phi||^2 = {norm:g}, synthetic activations")
    say_steps(x, dictionary_of_norm(norm), PAPER, rng, n_batches, learn=False)


def dictionary_of_norm(norm: float) -> np.ndarray:
    """Unit codewords that share one direction just as much as makes the squared spectral norm `norm`."""
    rng = np.random.default_rng(0)
    common, own = np.full((N_UNITS, 1), N_UNITS**-0.5), rng.standard_normal((N_UNITS, N_CODEWORDS))

    def mixed(share: float) -> np.ndarray:
        columns = share * common + (1 - share) * own / np.linalg.norm(own, axis=0)
        return columns / np.linalg.norm(columns, axis=0)

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.linalg.norm(mixed(middle), 2) ** 2 < norm else (low, middle)
    return mixed(low)


def say_steps(x, dictionary, rule, rng, n_batches: int, *, learn: bool = True) -> None:
    """Steps, ||Phi||^2 and processor seconds of batches, by tenths of the training; a product's before each tenth."""
    from distspc.kernels.sparse_coding import spectral
    from distspc.kernels.sparse_coding.training import _Trainer
    from distspc.kernels.threads import Threads, single_threaded_blas

    rows, size, product_s = [], max(1, n_batches // 10), 0.0
    with single_threaded_blas(1) as n, Threads(n) as threads:
        trainer = _Trainer(x, dictionary, BATCH_SIZE, rule, np.dtype(np.float64), threads)
        inner: list[tuple[float, np.ndarray]] = []
        run = trainer.loop.run

        def timed_run(*args, gram, **kwargs):
            start = time.thread_time()
            found = run(*args, gram=gram, **kwargs)
            inner.append((time.thread_time() - start, gram))
            return found

        trainer.loop.run = timed_run  # type: ignore[method-assign]
        if not learn:
            trainer._learn = lambda units: None  # type: ignore[method-assign]
        print("| batches | steps, median | most | not converged | norm^2, median | most | ms a batch | ms a step "
              "| over its product |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
        for i in range(n_batches):
            if i % size == 0:
                product_s = product_seconds()
            begun = time.thread_time()
            _, stop = trainer.batch(rng.choice(len(x), BATCH_SIZE))
            whole = time.thread_time() - begun
            seconds, gram = inner.pop()
            norm = spectral.norm_of_gram(gram) ** 2
            rows.append((stop.n_steps, not stop.converged, norm, whole, seconds, product_s))
            if (i + 1) % size == 0 or i + 1 == n_batches:
                say_tenth(rows[i // size * size :], i // size * size + 1, i + 1)
        say_tenth(rows, 1, n_batches)


def say_tenth(rows: list[tuple], first: int, last: int) -> None:
    """A line of the table: batches `first` to `last`."""
    steps, failed, norm, whole, inner, product = np.array(rows, float).T
    a_step = inner.sum() / steps.sum()
    print(f"| {first}-{last} | {np.median(steps):.0f} | {steps.max():.0f} | {failed.sum():.0f} | {np.median(norm):.1f} "
          f"| {norm.max():.1f} | {whole.mean() * 1e3:.1f} | {a_step * 1e3:.2f} "
          f"| {a_step / np.median(product):.2f} |", flush=True)  # fmt: skip


def product_seconds(n: int = 20) -> float:
    """Processor seconds of the one matrix product of a step, the median of some."""
    code, matrix = np.ones((BATCH_SIZE, N_CODEWORDS)), np.ones((N_CODEWORDS, N_CODEWORDS))
    out, taken = np.empty_like(code), []
    for _ in range(n):
        start = time.thread_time()
        np.matmul(code, matrix, out=out)
        taken.append(time.thread_time() - start)
    return float(np.median(taken))


def own_memory() -> int:
    """Bytes of this process that are not file cache (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


class Watch:
    """Largest own memory while the block runs."""

    def __enter__(self):
        self.peak, self.on = 0, True
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.on = False
        self.thread.join()

    def look(self):
        while self.on:
            self.peak = max(self.peak, own_memory())
            time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kernel", "dask", "million", "steps"])
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--long", type=int, default=1000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--store")
    parser.add_argument("--layer", default="block5_pool")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--norm", type=float, default=199.0)
    given = parser.parse_args()
    if given.what == "kernel":
        compare(given.batches, given.long, given.threads)
    elif given.what == "dask":
        through_dask(given.batches)
    elif given.what == "steps":
        if given.store is None:
            steps_of_norm(given.norm, given.batches)
        else:
            steps_of_store(given.store, given.layer, given.seed, given.batches)
    else:
        million()


if __name__ == "__main__":
    main()
