"""VGG-16 in TensorFlow and in ONNX Runtime, in turns: the same activations, images a second, start and memory.

Run on an otherwise idle machine:

    python benchmarks/engines.py
    python benchmarks/engines.py --cores 1 --rounds 5

Random weights; images are noise (the arithmetic is the same). Each round starts a process of its own for each engine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from distspc.layers import LAYERS

ENGINES = {"TensorFlow": "keras", "ONNX Runtime": "onnx"}


def main() -> None:
    """Compare and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--engine", choices=list(ENGINES), help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.engine:
        run_engine(settings)
        return
    with tempfile.TemporaryDirectory(prefix="distspc-engines-") as folder:
        rounds = [{engine: run_apart(settings, engine, folder) for engine in ENGINES} for _ in range(settings.rounds)]
        compare(Path(folder))
    for engine in ENGINES:
        found = {key: [one[engine][key] for one in rounds] for key in ("rate", "cpu", "start", "built", "peak")}
        middle = {key: statistics.median(values) for key, values in found.items()}
        told = ", ".join(f"{rate:.2f}" for rate in found["rate"])
        print(
            f"{engine}: {middle['rate']:.2f} images/s ({told}), {1e3 * middle['cpu']:.0f} ms CPU; "
            f"built after {middle['start']:.1f} s CPU; MiB: {middle['built']:.0f} built, {middle['peak']:.0f} at most"
        )


def run_apart(settings: argparse.Namespace, engine: str, folder: str) -> dict[str, float]:
    """Measure one engine in a process of its own."""
    arguments = ["--cores", str(settings.cores), "--seconds", str(settings.seconds), "--engine", engine]
    names = ("DISTSPC_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, __file__, *arguments, "--batch-size", str(settings.batch_size)],
        env={**os.environ, **dict.fromkeys(names, str(settings.cores))},
        cwd=folder,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def run_engine(settings: argparse.Namespace) -> None:
    """Batches forward for some seconds; the activations of the first are left for the comparison."""
    from distspc.extraction.network import load_network
    from distspc.extraction.network_spec import resolve_network

    spec = resolve_network("random", layers=list(LAYERS), engine=ENGINES[settings.engine])
    network = load_network(spec, settings.cores)
    built = {"start": time.process_time(), "built": psutil.Process().memory_info().rss / 2**20}
    batch = np.random.default_rng(0).integers(0, 256, (settings.batch_size, 224, 224, 3)).astype(np.uint8)
    first = network.activations(batch)
    np.savez(f"{settings.engine}.npz", **{layer: values[:2] for layer, values in first.items()})
    n, start, used = 0, time.perf_counter(), time.process_time()
    while (seconds := time.perf_counter() - start) < settings.seconds:
        network.activations(batch)
        n += len(batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": n / seconds, "cpu": (time.process_time() - used) / n, "peak": peak, **built}))


def compare(folder: Path) -> None:
    """Largest difference of each layer, relative to its largest activation."""
    one, other = (np.load(folder / f"{engine}.npz") for engine in ENGINES)
    for layer in LAYERS:
        difference = np.abs(one[layer] - other[layer]).max() / np.abs(one[layer]).max()
        print(f"{layer}: {difference:.1e} of the largest activation")


if __name__ == "__main__":
    main()
