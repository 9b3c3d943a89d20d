"""Kill things at random through whole studies; the results must come out byte for byte as from an undisturbed run.

    python tests/faults/campaign.py --seed 1 --studies 20 --kills 5

Each study is run by the command line on two worker processes. Of every study's kills some hit a worker (SIGKILL; the
run must go on by itself), some the driver (SIGKILL, SIGTERM or SIGINT; the same command must go on where it stopped).
After each study: the same chunk files as the reference, no unfinished file, no lock, no process of ours.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import yaml
from PIL import Image

from distspc.datasets.demo import patches
from distspc.testing.stores import relu_activations

LAYERS = {"fc2": 3000, "block5_pool": 30_000}
N_TARGETS, N_FILLERS = 80, 176
STUDY_TIMEOUT_S = 600
IMAGES_EVERY = 4
DRIVER_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def write_activations(folder: Path) -> None:
    """Activations in the authors' layout, and scores."""
    rows = [f"{i},{0.3 + i / 200}" for i in range(1, N_TARGETS + 1)]
    (folder / "scores.csv").write_text("\n".join(["im_ind,hit", *rows]) + "\n")
    for i, (layer, n_features) in enumerate(LAYERS.items()):
        values = relu_activations(N_TARGETS + N_FILLERS, n_features, seed=i)
        for name, rows in (("Targets", values[:N_TARGETS]), ("Fillers", values[N_TARGETS:])):
            (folder / "Activations" / layer / name).mkdir(parents=True)
            for number, row in enumerate(rows, start=1):
                np.save(folder / "Activations" / layer / name / f"{number}.npy", row[None])


def write_images(folder: Path) -> None:
    """Patches of photographs."""
    for name in ("Targets", "Fillers"):
        (folder / "Images" / name).mkdir(parents=True)
    for i, patch in enumerate(patches(12)):
        role, number = ("Targets", i // 3 + 1) if i % 3 == 0 else ("Fillers", i - i // 3)
        Image.fromarray(patch[::2, ::2]).save(folder / "Images" / role / f"{number}.png")


def write_study(folder: Path, *, images: bool) -> Path:
    """Write the study file of one round."""
    (folder / "store").mkdir(parents=True)
    common = folder.parent
    content = {
        "store": "store/study.zarr",
        "reconstruction": {"units": 200, "codewords": 60, "batches": 40, "batch-size": 50, "seeds": [0, 1]},
    }
    if images:
        content |= {"images": {"targets": str(common / "Images/Targets"), "fillers": str(common / "Images/Fillers")}}
        content |= {"model": {"weights": "random"}, "layers": ["block1_pool"]}
    else:
        content |= {"activations": str(common / "Activations"), "layers": list(LAYERS)}
        content |= {"scores": {"file": str(common / "scores.csv"), "columns": ["hit"]}, "relate": {"bootstrap": 20}}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def chunk_digests(store: Path) -> dict[str, str]:
    """Digest of every chunk file of a store by its path."""
    files = (p for p in store.rglob("*") if p.is_file() and "c" in p.relative_to(store).parts[:-1])
    return {p.relative_to(store).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


class Driver:
    """One `distspc run` in a process of its own."""

    def __init__(self, study: Path) -> None:
        self.log = (study.parent / "log.txt").open("ab")
        command = [sys.executable, "-m", "distspc", "run", str(study), "--set", "distspc.workers=2"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=study.parent)
        self.family: dict[int, psutil.Process] = {}

    def workers(self) -> list[psutil.Process]:
        """Worker processes alive now."""
        found = []
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        for child in children:
            self.family[child.pid] = child
            try:
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.Error:
                continue
        return found

    def left_over(self, timeout_s: float = 30) -> list[psutil.Process]:
        """Processes of this run that outlive it."""
        _, alive = psutil.wait_procs(list(self.family.values()), timeout=timeout_s)
        return alive


def run_study(study: Path, rng: random.Random, n_kills: int, counts: Counter[str]) -> list[str]:
    """Run one study under fire until it is done; returns what went wrong."""
    problems, deadline, left = [], time.monotonic() + STUDY_TIMEOUT_S, n_kills
    while True:
        driver = Driver(study)
        next_kill = time.monotonic() + rng.uniform(0.5, 9.0)
        killed = False
        while driver.process.poll() is None:
            if time.monotonic() > deadline:
                driver.process.kill()
                return [*problems, f"{study}: not done after {STUDY_TIMEOUT_S} s"]
            workers = driver.workers()
            if left > 0 and time.monotonic() > next_kill:
                if workers and rng.random() < 0.6:
                    rng.choice(workers).kill()
                    counts["worker SIGKILL"] += 1
                else:
                    kind = rng.choice(DRIVER_SIGNALS)
                    driver.process.send_signal(kind)
                    counts[f"driver {kind.name}"] += 1
                    killed = True
                left -= 1
                next_kill = time.monotonic() + rng.uniform(0.3, 4.0)
            time.sleep(0.05)
        problems += [f"{study}: process {p.pid} outlived its driver" for p in driver.left_over()]
        if driver.process.returncode == 0:
            return problems
        if not killed:
            return [*problems, f"{study}: exit code {driver.process.returncode}, see {study.parent / 'log.txt'}"]


def check(store: Path, reference: dict[str, str]) -> list[str]:
    """Compare a finished store with the reference."""
    ours = chunk_digests(store)
    problems = [
        f"{store}: {name} differs" for name in sorted({*ours, *reference}) if ours.get(name) != reference.get(name)
    ]
    problems += [f"left over: {p}" for p in store.rglob("*.partial")]
    problems += [f"left over: {p}" for p in store.parent.glob("*.lock")]
    return problems


def undisturbed(folder: Path, *, images: bool) -> dict[str, str]:
    """Digests of a run that nobody disturbs."""
    study = write_study(folder / f"reference-{images}", images=images)
    run_study(study, random.Random(0), 0, Counter())
    return chunk_digests(study.parent / "store/study.zarr")


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--studies", type=int, default=2, help="whole studies, every fourth on images")
    parser.add_argument("--kills", type=int, default=5, help="kills a study at most")
    arguments = parser.parse_args()
    rng, counts, problems = random.Random(arguments.seed), Counter[str](), []
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        write_activations(folder)
        write_images(folder)
        references: dict[bool, dict[str, str]] = {}
        for i in range(arguments.studies):
            images = i % IMAGES_EVERY == 1
            if images not in references:
                references[images] = undisturbed(folder, images=images)
            study = write_study(folder / f"study-{i}", images=images)
            begun, before = time.monotonic(), sum(counts.values())
            found = run_study(study, rng, arguments.kills, counts)
            found += check(study.parent / "store/study.zarr", references[images])
            if found:
                found.append((study.parent / "log.txt").read_text()[-3000:])
            problems += found
            n_kills = sum(counts.values()) - before
            print(
                f"study {i}: {n_kills} kills, {time.monotonic() - begun:.0f} s, {len(found)} problems",
                *found,
                sep="\n  ",
                flush=True,
            )
    print(f"{arguments.studies} studies, {sum(counts.values())} kills ({dict(counts)}), {len(problems)} problems")
    return 1 if problems or not all(references.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
