"""What a small study takes beside its forward pass: `distspc run` from a cold start, `--help`, `status`.

    python benchmarks/start.py                           # 40 images, block5_pool and fc2, weights in a file
    python benchmarks/start.py --python A B --rounds 3   # in turns: Python of environments with other code

Seconds on the clock and of processor time of the whole process tree, up to each line that ends a part of the run. The
forward pass is measured apart, in the same round: one process with the network built, batches of 16. Weights are random
numbers in a Keras file (512 MiB), photographs are crops of those that scikit-image and scikit-learn ship.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import psutil

STUDY = """\
store: study.zarr
images: {targets: Targets, fillers: Fillers}
scores: {file: scores.csv}
model: {weights: weights.h5}
layers: [block5_pool, fc2]
reconstruction: {units: 200, codewords: 100, batches: 60, batch-size: 20}
report: study.html
"""

FORWARD = """
import json, sys, time
import numpy as np
from distspc.extraction.network import load_network
from distspc.extraction.network_spec import resolve_network
network = load_network(resolve_network(sys.argv[1], layers=["block5_pool", "fc2"]), 1)
images = np.random.default_rng(0).integers(0, 256, (int(sys.argv[2]), 224, 224, 3)).astype("uint8")
network.activations(images[:1])  # builds
start, used = time.perf_counter(), time.process_time()
for i in range(0, len(images), 16):
    network.activations(images[i : i + 16])
print(json.dumps([time.perf_counter() - start, time.process_time() - used]))
"""

ENDS = {
    "images:": "imports, study file, weights",
    "dashboard:": "cluster and workers start",
    "scan images: done": "scan",
    "extract: done": "extract, forward pass included",
    "reconstruct: done": "distances and reconstruct",
    "relate: done": "relate",
    "report: done": "report",
}
"""The line that ends each part of a run, in their order."""


def main() -> None:
    """Print a table for every environment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="of environments; this one by default")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--images", type=int, default=40)
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="start-") as name:
        inputs = make_inputs(Path(name) / "inputs", settings.images)
        found: dict[str, list[dict]] = {str(Path(python).absolute()): [] for python in settings.python}
        for _ in range(settings.rounds):
            for python, rounds in found.items():
                rounds.append(one_round(python, inputs, Path(name) / "study", settings.images))
    for python, rounds in found.items():
        print(f"\n{python}, median of {len(rounds)}\n\n| part | seconds | processor time, s |\n|---|---|---|")
        for part in rounds[0]:
            clock, used = (median(one[part][i] for one in rounds) for i in (0, 1))
            print(f"| {part} | {clock:.2f} | {used:.2f} |")


def make_inputs(folder: Path, n: int) -> Path:
    """Images, half of them targets, invented scores, weights and the study file."""
    import numpy as np

    sys.path.insert(0, str(Path(__file__).parent))
    from extraction import write_crops
    from whole_study import write_weights

    fillers, targets = write_crops(folder / "Fillers", n), folder / "Targets"
    targets.mkdir()
    for i in range(1, n // 2 + 1):
        (fillers / f"{i}.jpg").rename(targets / f"{i}.jpg")
    scores = np.random.default_rng(0).uniform(size=n // 2)
    lines = [f"{i},{score:.4f}" for i, score in enumerate(scores, start=1)]
    (folder / "scores.csv").write_text("\n".join(["im_ind,corrected_hit", *lines]) + "\n")
    (folder / "study.yaml").write_text(STUDY)
    write_weights(folder / "weights.h5")
    return folder


def one_round(python: str, inputs: Path, folder: Path, n_images: int) -> dict[str, tuple[float, float]]:
    """Clock and processor seconds by part: the forward pass apart, a run, and commands on what it made."""
    command = [python, "-c", FORWARD, str(inputs / "weights.h5"), str(n_images)]
    forward = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for one in inputs.iterdir():
        (folder / one.name).symlink_to(one)
    found = run(python, folder)
    whole = tuple(sum(one[i] for one in found.values()) for i in (0, 1))
    found |= {"in all": whole, "forward pass, apart": tuple(forward)}
    found["all but the forward pass"] = (whole[0] - forward[0], whole[1] - forward[1])
    for name in ("--help", "status"):
        found[f"`distspc {name}`"] = timed(
            [python, "-m", "distspc", name, *(["study.yaml"] * (name == "status"))], folder
        )
    return found


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Clock and processor seconds of a command."""
    start, before = time.perf_counter(), used_by_ended()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start, used_by_ended() - before


def run(python: str, folder: Path) -> dict[str, tuple[float, float]]:
    """A run, cut into parts by the lines that it prints."""
    parts: dict[str, tuple[float, float]] = {}
    start, before = time.perf_counter(), used_by_ended()
    last = (start, 0.0)
    process = subprocess.Popen(
        [python, "-m", "distspc", "run", "study.yaml"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    tree = Tree(process.pid)
    left = dict(ENDS)
    for line in process.stdout:
        end = next((end for end in left if line.startswith(end)), None)
        if end is not None:
            now = (time.perf_counter(), tree.used())
            parts[left.pop(end)] = (now[0] - last[0], now[1] - last[1])
            last = now
    if process.wait() or left:
        raise RuntimeError(f"the run ended with {process.returncode}, without {', '.join(left)}")
    parts["summary, workers end"] = (time.perf_counter() - last[0], used_by_ended() - before - last[1])
    return parts


class Tree:
    """Processor time of a process and all that it starts."""

    def __init__(self, pid: int) -> None:
        self.process, self.known = psutil.Process(pid), {}
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        """Look often: what has ended is counted as of the last look."""
        while self.process.is_running():
            self.used()
            time.sleep(0.1)

    def used(self) -> float:
        """Seconds until now."""
        try:
            for one in [self.process, *self.process.children(recursive=True)]:
                times = one.cpu_times()
                self.known[one.pid] = times.user + times.system
        except psutil.Error:  # it has ended meanwhile
            pass
        return sum(list(self.known.values()))


def used_by_ended() -> float:
    """Processor seconds of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
