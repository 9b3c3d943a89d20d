"""What looking at a finished study of a million images costs: `status`, `plan`, `report`, `run`; and its files.

    python benchmarks/many_images.py --directory /scratch            # a million empty image files, empty chunk files
    python benchmarks/many_images.py --files chunks                  # as stores were written before shards

The store is sparse: image table, distances and reconstruction errors are there, of activations an empty file for each
of the files that extraction writes. Each command runs `--rounds` times in a process of its own; medians.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from distspc.extraction.build import extract_activations
from distspc.images.inventory import write_images
from distspc.images.listing import ImageRecord, ImageSource, file_signature, list_images
from distspc.layers import LAYERS
from distspc.pipeline.run import Study
from distspc.store.format.layout import create_array
from distspc.store.group import Group
from distspc.store.store import Store
from distspc.testing.stores import write_measures

sys.path.insert(0, str(Path(__file__).parent))
from scaling import touch_chunks

COMMANDS = ("status", "plan", "report", "run")


def main() -> None:
    """Make the study and time the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", type=int, default=1_000_000, help="images")
    parser.add_argument("--targets", type=int, default=2222, help="how many of them are targets")
    parser.add_argument("--files", choices=["shards", "chunks"], default="shards", help="one a task, or one a chunk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commands", nargs="+", default=COMMANDS)
    parser.add_argument("--directory", type=Path, help="where the study is made, or is (default: the temporary folder)")
    settings = parser.parse_args()
    if settings.directory is None:
        with tempfile.TemporaryDirectory(prefix="many-images-") as folder:
            measure(settings, Path(folder))
    else:
        settings.directory.mkdir(parents=True, exist_ok=True)
        measure(settings, settings.directory)


def measure(settings: argparse.Namespace, folder: Path) -> None:
    """Print a line for each command."""
    if not (folder / "study.yaml").exists():
        make_study(folder, settings)
    print("| command | clock, s | processor, s | memory, MiB |\n|---|---|---|---|")
    for command in settings.commands:
        runs = [run(command, folder / "study.yaml") for _ in range(settings.rounds)]
        clock, processor, memory = map(statistics.median, zip(*runs, strict=True))
        print(f"| `{command}` | {clock:.1f} | {processor:.1f} | {memory:.0f} |", flush=True)


def run(command: str, study: Path) -> tuple[float, float, float]:
    """Clock, processor time and memory of a command; `report` writes its page."""
    if command == "report":
        study.with_name("report.html").unlink(missing_ok=True)
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "distspc", command, str(study)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"distspc {command} ended with {process.returncode}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def make_study(folder: Path, settings: argparse.Namespace) -> None:
    """Make a study whose work is done, as far as files tell."""
    start = time.perf_counter()
    n = {"targets": settings.targets, "fillers": settings.million - settings.targets}
    for role, count in n.items():
        (folder / role).mkdir()
        for i in range(1, count + 1):
            os.close(os.open(folder / role / f"{i}.jpg", os.O_CREAT | os.O_WRONLY))
    roles = "{targets: targets, fillers: fillers}"
    text = f"store: study.zarr\nimages: {roles}\nmodel: {{weights: random}}\nreport: report.html\n"
    (folder / "study.yaml").write_text(text)
    study = Study.from_file(folder / "study.yaml")
    sources = list_images(folder / "targets") + list_images(folder / "fillers", "filler")
    write_images(study.stored, sources, [[record(source) for source in sources]])
    extract_activations(study.stored, layers=list(LAYERS), weights="random")
    if settings.files == "chunks":
        without_shards(study.stored)
    print(f"{touch_chunks(study.stored.path):,} files of activations", flush=True)
    write_measures(study.stored, [source.id for source in sources], settings.targets, list(LAYERS), n_batches=1000)
    fill(study.stored.distances)
    study.stored.distances.set_attributes(recipe=asdict(study.distinctiveness.options))
    study.stored.reconstruction.set_attributes(recipe=asdict(study.reconstruction.options))
    print(f"made in {time.perf_counter() - start:.0f} s", flush=True)


def record(source: ImageSource) -> ImageRecord:
    """What would have been found of an image that can be used."""
    nbytes, modified = file_signature(source.file)
    digest = hashlib.sha256(source.id.encode()).hexdigest()
    row = {"image": source.id, "role": source.role, "number": source.number, "file": source.file, "category": ""}
    return ImageRecord(**row, nbytes=nbytes, modified=modified, width=256, height=256, digest=f"sha256:{digest}")


def without_shards(store: Store) -> None:
    """Lay the activations out as they were before shards."""
    for layer in LAYERS:
        group = store.layer(layer)
        shape, size = (group.sizes[dim] for dim in ("image", "feature")), group.chunks("activation")
        create_array(store, group.name, "activation", tuple(shape), (size["image"], size["feature"]), "float32")


def fill(group: Group) -> None:
    """Write what `write_measures` leaves out."""
    for name, row in group.schema.items():
        if group.has(name) and not group.done(name).all():
            group.write(name, np.zeros([group.sizes[dim] for dim in row.dims], row.dtype))


if __name__ == "__main__":
    main()
