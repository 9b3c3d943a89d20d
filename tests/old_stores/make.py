"""Make the archives of this folder: small finished studies, computed by the code of an old commit.

    git worktree add --detach /tmp/old 3c3bc4d
    python tests/old_stores/make.py /tmp/old tests/old_stores

The interpreter needs what that commit depends on. Each archive is a whole folder (images or activations, scores, study
file, store, the first lines of the report) with the tidy table and the correlations as that commit's own code gave
them. The studies are made in /tmp/study, as a store keeps the paths of its images.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path("/tmp/study")
N_TARGETS, N_FILLERS = 12, 14
COMMON = """\
store: study.zarr
scores: {file: scores.csv, columns: [hit, fa]}
distinctiveness: {neighbours: 3}
relate: {bootstrap: 50, seed: 3}
"""
OF_IMAGES = """\
images: {targets: Images/Targets, fillers: Images/Fillers}
model: {weights: random, storage: float16}
layers: [fc2]
reconstruction: {units: 30, codewords: 10, batches: 5, batch-size: 13, seeds: [0, 1]}
"""
OF_ACTIVATIONS = """\
activations: Activations
layers: [block5_pool, fc2]
reconstruction: {units: 20, codewords: 8, batches: 6, batch-size: 13, seeds: [0, 1]}
"""
GOLDEN = """\
import distspc, pandas as pd
distspc.tidy_table("study.zarr").to_csv("table.csv", index=False)
found = distspc.open_results("study.zarr")["relations"].to_dataset().load()
pd.DataFrame({name: found[name].values for name in found.data_vars}).to_csv("relations.csv", index=False)
"""


def write_images(folder: Path, n: int, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    for number in range(1, n + 1):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((12, 12), Image.Resampling.NEAREST).save(folder / f"{number}.png")


def write_activations(folder: Path, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    values = np.maximum(rng.standard_normal((n, *shape), dtype=np.float32), 0)
    for number, value in enumerate(values, start=1):
        np.save(folder / f"{number}.npy", value[None])


def write_inputs(kind: str) -> None:
    rng = np.random.default_rng(7)
    for role, n in (("Targets", N_TARGETS), ("Fillers", N_FILLERS)):
        if kind == "images":
            write_images(FOLDER / "Images" / role, n, rng)
        else:
            write_activations(FOLDER / "Activations/block5_pool" / role, n, (3, 3, 8), rng)
            write_activations(FOLDER / "Activations/fc2" / role, n, (40,), rng)
    rows = [f"{i},{rng.uniform(0.3, 0.9):.3f},{rng.uniform(0, 0.3):.3f}\n" for i in range(1, N_TARGETS + 1)]
    (FOLDER / "scores.csv").write_text("im_ind,hit,fa\n" + "".join(rows))
    (FOLDER / "study.yaml").write_text(COMMON + (OF_IMAGES if kind == "images" else OF_ACTIVATIONS))


def without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def make(checkout: Path, kind: str, archive: Path) -> None:
    if FOLDER.exists():
        sys.exit(f"{FOLDER} is there already: remove it first")
    try:
        FOLDER.mkdir()
        write_inputs(kind)
        environment = {**os.environ, "PYTHONPATH": str(checkout.resolve()), "TF_CPP_MIN_LOG_LEVEL": "3"}
        for arguments in (["-m", "distspc", "run", "study.yaml"], ["-c", GOLDEN]):
            subprocess.run([sys.executable, *arguments], cwd=FOLDER, env=environment, check=True)
        report = FOLDER / "report.html"
        report.write_text(
            report.read_text(encoding="utf-8")[:1000], encoding="utf-8"
        )  # up to its mark: the rest is big
        with tarfile.open(archive, "w:xz") as packed:
            for path in sorted(FOLDER.rglob("*")):
                if path.is_file() and not {"figures", "tables"} & set(path.relative_to(FOLDER).parts):
                    packed.add(path, path.relative_to(FOLDER), filter=without_owner)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="checkout of the old commit")
    parser.add_argument("folder", type=Path, help="folder of the archives")
    given = parser.parse_args()
    asked = ["git", "-C", str(given.checkout), "rev-parse", "--short=7", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    for kind in ("images", "activations"):
        make(given.checkout, kind, given.folder / f"{commit}-{kind}.tar.xz")


if __name__ == "__main__":
    main()
