"""Most memory that a worker and the driver take, stage by stage, beside what `distspc plan` says of a task.

    python benchmarks/memory.py
    python benchmarks/memory.py --layers fc2=4096 block5_pool=25088 --stages distances reconstruct

Activations are synthetic, of as many images as the classic study has; the network runs over a few photographs
(`extract`), whose number changes nothing. Every stage has a worker and a driver of its own. Needs some GB of disk.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distspc import Study
from distspc.deployment.session import deploy
from distspc.pipeline.cost import stage_loads
from distspc.pipeline.needs.work import Rates, Resources, Setting

NETWORK, IMPORT = "extract", "import"
"""Images through the network; the extraction stage of activations that are there."""
STAGES_HERE = (NETWORK, IMPORT, "distances", "reconstruct", "readout", "measures", "relate", "report")


def main() -> None:
    """Measure stage by stage, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=2222)
    parser.add_argument("--fillers", type=int, default=8042)
    parser.add_argument("--photographs", type=int, default=128)
    parser.add_argument("--layers", nargs="+", default=["fc2=4096", "block4_pool=100352"], help="name=features")
    parser.add_argument("--batches", type=int, default=40, help="of the training: its memory is that of a batch")
    parser.add_argument("--memory", type=float, default=4.0, help="GiB of the worker")
    parser.add_argument("--stages", nargs="+", default=list(STAGES_HERE))
    parser.add_argument("--directory", type=Path, help="kept, and used again (default: a temporary folder)")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.part:
        print(json.dumps(run_stage(settings, settings.directory, settings.part)))
        return
    folder = settings.directory or Path(tempfile.mkdtemp(prefix="distspc-memory-"))
    try:
        print("| stage | worker, most | planned | measured / planned | driver, most |\n|---|---|---|---|---|")
        for stage in settings.stages:
            worker, planned, driver = (n / 2**20 for n in run_apart(folder, stage))
            ratio = f"{worker / planned:.2f}" if planned else ""
            print(f"| {stage} | {worker:,.0f} | {planned:,.0f} | {ratio} | {driver:,.0f} |", flush=True)
    finally:
        if not settings.directory:
            shutil.rmtree(folder, ignore_errors=True)


def run_apart(folder: Path, stage: str) -> list[int]:
    """Bytes of the worker, planned, and of the driver, of a stage in a process of its own."""
    arguments = [*sys.argv[1:], "--part", stage, "--directory", str(folder)]
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_stage(settings: argparse.Namespace, folder: Path, stage: str) -> list[int]:
    """Run a stage with one worker of one core; see `run_apart`."""
    study, counts = (photographs if stage == NETWORK else synthetic)(settings, folder)
    name = NETWORK if stage == IMPORT else stage
    overrides = ["workers=1", "cores-per-worker=1", f"memory-per-worker={settings.memory:g} GiB"]
    with deploy("local", overrides=overrides) as client:
        study.run(client, stages=[name])
        worker = max(client.run(peak_nbytes).values())
    resources = Resources(1, 1, int(settings.memory * 2**30), 50.0)
    loads = stage_loads(study, Setting(*counts, resources, Rates()), [name])
    planned = max((load.task_nbytes for some in loads.values() for chain in some.chains for load in chain), default=0)
    return [worker, planned, peak_nbytes()]


def peak_nbytes() -> int:
    """Most resident memory of this process so far, without what it had of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def photographs(settings: argparse.Namespace, folder: Path) -> tuple[Study, tuple[int, int]]:
    """All seven layers of VGG-16 on crops of photographs."""
    from extraction import write_crops

    if not (folder / "Images").exists():
        write_crops(folder / "Images", settings.photographs)
    content = {"store": "network.zarr", "images": {"targets": "Images"}, "model": {"weights": "random"}}
    return Study.from_dict(content, base=folder), (settings.photographs, 0)


def synthetic(settings: argparse.Namespace, folder: Path) -> tuple[Study, tuple[int, int]]:
    """A study on synthetic activations with the settings of the method but for the length of training, and scores."""
    widths = {name: int(width) for name, _, width in (text.partition("=") for text in settings.layers)}
    counts = settings.targets, settings.fillers
    for layer, width in widths.items():
        if not (folder / "A" / layer).exists():
            write_files(folder / "A" / layer, width, {"Targets": counts[0], "Fillers": counts[1]})
    rng, lines = np.random.default_rng(0), ["im_ind,corrected_hit"]
    lines += [f"{i + 1},{score:.4f}" for i, score in enumerate(rng.uniform(0.2, 0.9, counts[0]))]
    (folder / "scores.csv").write_text("\n".join(lines) + "\n")
    content: dict[str, Any] = {"store": "study.zarr", "activations": "A", "layers": list(widths)}
    content["scores"] = {"file": "scores.csv"}
    content |= {"reconstruction": {"batches": settings.batches}, "relate": {"readout": True}, "report": "report.html"}
    content["measures"] = ["activation-statistics", "typicality", "density", "autoencoder"]
    return Study.from_dict(content, base=folder), counts


def write_files(folder: Path, width: int, numbers: Mapping[str, int]) -> None:
    """Activations like those after ReLU, a file an image."""
    rng = np.random.default_rng(width)
    mixing = rng.standard_normal((32, width), dtype=np.float32)
    for role, n in numbers.items():
        (folder / role).mkdir(parents=True)
        for i in range(n):
            values = rng.standard_normal(32, dtype=np.float32) @ mixing + rng.standard_normal(width, dtype=np.float32)
            np.save(folder / role / f"{i + 1}.npy", np.maximum(values - 2, 0))


if __name__ == "__main__":
    main()
