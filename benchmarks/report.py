"""How long `distspc report` takes from a cold start, and how large its page is: the classic study's size by default.

python benchmarks/report.py [--targets 2222] [--rounds 3] [--folder KEEP]

The study is made of matrices of 64 features a layer, so that everything before the report is cheap: the page shows as
many targets, layers, seeds, batches and scores as that of a real study, and its galleries as many pictures.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image, ImageFilter

from distspc.layers import LAYERS
from distspc.testing.stores import relu_activations

N_FEATURES = 64


def make_study(folder: Path, *, n_targets: int, n_fillers: int, n_scores: int, n_seeds: int) -> Path:
    """Write images, matrices, scores and the study file; returns the latter."""
    rng = np.random.default_rng(0)
    names = []
    for role, n in (("targets", n_targets), ("fillers", n_fillers)):
        (folder / role).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            names.append(f"{role}/{i:05d}.jpg")
            texture = Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).resize((256, 256))
            texture.filter(ImageFilter.GaussianBlur(4)).save(folder / names[-1], quality=85)
    matrices = {}
    for i, layer in enumerate(LAYERS):
        np.save(folder / f"{layer}.npy", relu_activations(len(names), N_FEATURES, seed=i))
        matrices[layer] = f"{layer}.npy"
    (folder / "names.txt").write_text("\n".join(names), encoding="utf-8")
    strength = np.load(folder / "fc2.npy")[:n_targets].std(axis=1)
    scores = {f"score_{i}": strength + rng.normal(0, (1 + i) * strength.std(), n_targets) for i in range(n_scores)}
    pd.DataFrame({"image": names[:n_targets], **scores}).to_csv(folder / "scores.csv", index=False)
    study = {
        "store": "study.zarr",
        "images": {"targets": "targets", "fillers": "fillers"},
        "activations": {"layers": matrices, "names": "names.txt"},
        "layers": list(LAYERS),
        "scores": {"file": "scores.csv", "image": "image", "columns": list(scores)},
        "reconstruction": {
            "codewords": 32,
            "units": 64,
            "batches": 200,
            "batch-size": 50,
            "seeds": list(range(n_seeds)),
        },
        "relate": {"bootstrap": 1000},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return folder / "study.yaml"


def run(*arguments: str) -> tuple[float, float]:
    """Run the command line in a process of its own: seconds on the clock and of the processor."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "distspc", *arguments], check=True, stdout=subprocess.DEVNULL)
    clock, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def parts_of(page: str) -> dict[str, int]:
    """Bytes of a page by what they are: pictures by kind, and the rest."""
    sizes: Counter[str] = Counter()
    for kind, data in re.findall(r'src="data:image/([\w+]+);base64,([^"]*)"', page):
        sizes[kind] += len(data)
    return {**sizes, "text and tables": len(page.encode()) - sum(sizes.values())}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", type=int, default=2222)
    parser.add_argument("--fillers", type=int, default=500)
    parser.add_argument("--scores", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        study = folder / "study.yaml"
        if not study.exists():
            sizes = {"n_targets": options.targets, "n_fillers": options.fillers}
            study = make_study(folder, **sizes, n_scores=options.scores, n_seeds=options.seeds)
            run("run", str(study), "--profile", "local")
        page = folder / "report.html"
        for i in range(options.rounds):
            page.unlink(missing_ok=True)
            clock, cpu = run("report", str(study))
            print(f"round {i + 1}: {clock:.1f} s on the clock, {cpu:.1f} s of processor time", flush=True)
        sizes = parts_of(page.read_text(encoding="utf-8"))
        print(f"page: {sum(sizes.values()) / 1e6:.2f} MB, " + json.dumps(sizes))


if __name__ == "__main__":
    main()
