"""The classic study, whole and for real: 2,222 targets and 8,042 fillers, seven layers, every setting at its default.

Called by `whole_study.py --full DIR`. Images are crops of the photographs that scikit-image and scikit-learn ship,
scaled and mirrored at random, all different; scores are their contrast with noise. Run it again after any stop: it
goes on, and its records (`DIR/records.json`) add up.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil

from distspc.datasets.demo import photographs
from distspc.deployment.session import deploy
from distspc.messages import format_nbytes
from distspc.pipeline.cost import Rates, Resources, measure_gflops, plan_study
from distspc.pipeline.run import Study
from distspc.results.training import seed_pairs
from distspc.store.store import Store

STAGES = ("extract", "distances", "reconstruct", "relate", "report")
"""Stages of a study without further measures and readouts."""
SIDE = 256
N_TARGETS, N_FILLERS = 2222, 8042
ENDS = 50
"""Batches whose mean training error stands for the beginning and the end of a training."""


def run_full(settings: argparse.Namespace) -> None:
    """Make the images, run every stage, print its table."""
    folder = Path(settings.full)
    n_targets, n_fillers = sizes(settings.images)
    write_images(folder, n_targets, n_fillers)
    study = make_study(folder, settings)
    gflops = measure_gflops()
    with deploy("local") as client:
        resources = describe(client, gflops)
        for stage in STAGES:
            run_stage(study, client, stage, folder)
    print_stages(study, folder, resources, {"n_targets": n_targets, "n_fillers": n_fillers})
    print_layers(study)


def sizes(n_images: int | None) -> tuple[int, int]:
    """Targets and fillers: the paper's, or fewer images in its proportion."""
    if n_images is None:
        return N_TARGETS, N_FILLERS
    n_targets = max(2, round(n_images * N_TARGETS / (N_TARGETS + N_FILLERS)))
    return n_targets, max(1, n_images - n_targets)


def write_images(folder: Path, n_targets: int, n_fillers: int) -> None:
    """Crops as JPEG files of quality 75, and the table of their scores; what is there is left alone."""
    import PIL.Image

    table = folder / "scores.csv"
    if table.exists():
        return
    pictures = [PIL.Image.fromarray(picture) for picture in photographs()]
    rng, seen, lines = np.random.default_rng(0), set(), ["im_ind,corrected_hit"]
    for name in ("Targets", "Fillers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(n_targets + n_fillers):
        crop = draw_crop(pictures[i % len(pictures)], rng)
        while hash(crop.tobytes()) in seen:
            crop = draw_crop(pictures[i % len(pictures)], rng)
        seen.add(hash(crop.tobytes()))
        role, number = ("Targets", i + 1) if i < n_targets else ("Fillers", i + 1 - n_targets)
        crop.save(folder / role / f"{number}.jpg", quality=75)
        if role == "Targets":
            contrast = np.asarray(crop.convert("L"), float).std() / 128
            lines.append(f"{number},{0.5 + 0.2 * contrast + 0.1 * rng.standard_normal():.4f}")
    table.write_text("\n".join(lines) + "\n")


def draw_crop(picture, rng: np.random.Generator):
    """A square of a photograph, of 0.6 to 1.4 times the side, brought to the side, mirrored or not."""
    side = int(min(SIDE * rng.uniform(0.6, 1.4), *picture.size))
    left, top = (int(rng.integers(0, length - side + 1)) for length in picture.size)
    crop = picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
    return crop.transpose(0) if rng.uniform() < 0.5 else crop  # 0: left to right


def make_study(folder: Path, settings: argparse.Namespace) -> Study:
    """The study file of a newcomer, but for random weights where none are named."""
    content = {
        "store": "study.zarr",
        "images": {"targets": "Targets", "fillers": "Fillers"},
        "scores": {"file": "scores.csv"},
        "model": {"weights": settings.weights or "random"},
        "reconstruction": {"seeds": settings.full_seeds},
    }
    if settings.preprocessing:
        content["model"]["preprocessing"] = settings.preprocessing
    if settings.full_layers:
        content["layers"] = settings.full_layers
    return Study.from_dict(content, base=folder)


def describe(client, gflops: float) -> Resources:
    """What the study runs on."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return Resources(len(workers), min(w["nthreads"] for w in workers), min(w["memory_limit"] for w in workers), gflops)


# ---------------------------------------------------------------- stages


def run_stage(study: Study, client, stage: str, folder: Path) -> None:
    """One stage; what it took is added to the records."""
    from whole_study import Watch

    before, begun = processor_seconds(client), time.perf_counter()
    print(f"{datetime.now(UTC):%H:%M:%S} {stage}", flush=True)
    with Watch(client) as watch:
        study.run(client, stages=[stage], progress=Lines())
    taken = {
        "stage": stage,
        "seconds": time.perf_counter() - begun,
        "processor_s": processor_seconds(client) - before,
        "peak_nbytes": watch.peak,
        "load": os.getloadavg()[2],
        "ended": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
    }
    path = folder / "records.json"
    path.write_text(json.dumps([*read_records(folder), taken], indent=1))


def read_records(folder: Path) -> list[dict]:
    """Records of all runs so far."""
    path = folder / "records.json"
    return json.loads(path.read_text()) if path.exists() else []


def processor_seconds(client) -> float:
    """Processor time of the workers and of this process."""
    pids = [os.getpid(), *client.run(os.getpid).values()]
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


class Lines:
    """A line for every twentieth of a piece of work."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}

    def __call__(self, label: str, n_done: int, n_tasks: int) -> None:
        part = 20 * n_done // max(n_tasks, 1)
        if part != self.last.get(label):
            self.last[label] = part
            sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {label}: {n_done} of {n_tasks}\n")


def print_stages(study: Study, folder: Path, resources: Resources, counts: dict[str, int]) -> None:
    """Seconds, processor time, share of the product's speed and memory by stage, all runs together."""
    plans = list(plan_study(study, **counts, resources=resources, rates=Rates()))
    records = read_records(folder)
    speed = resources.gflops_per_core * 1e9  # of one core: processor time counts, other work on the machine does not
    print(
        f"\n{counts['n_targets']} targets, {counts['n_fillers']} fillers, {len(study.layers)} layers, seeds "
        f"{', '.join(map(str, study.reconstruction.seeds))}, weights "
        f"{Path(study.model.weights).name}, preprocessing {study.model.preprocessing}; "
        f"{resources.n_workers} workers of {resources.cores} cores and {format_nbytes(resources.memory_nbytes)}; "
        f"{resources.gflops_per_core:.0f} GFLOP/s a core\n"
    )
    print("| stage | seconds | planned, s | processor, s | product's speed reached, by processor time | peak, worker |")
    print("|---|---|---|---|---|---|")
    for stage in STAGES:
        own = [record for record in records if record["stage"] == stage]
        seconds, processor = (sum(record[key] for record in own) for key in ("seconds", "processor_s"))
        flop, planned = (sum(getattr(p, key) for p in plans if p.stage == stage) for key in ("flop", "seconds"))
        share = f"{flop / speed / processor:.2f}" if flop and processor else ""
        peak = max((record["peak_nbytes"] for record in own), default=0)
        print(f"| {stage} | {seconds:.0f} | {planned:.0f} | {processor:.0f} | {share} | {format_nbytes(peak)} |")
    print(f"| in all | {sum(r['seconds'] for r in records):.0f} | | {sum(r['processor_s'] for r in records):.0f} | | |")


def print_layers(study: Study) -> None:
    """How training went by layer, over its seeds."""
    pairs, _ = seed_pairs(study.stored, study.layers)
    stored = {
        name: Store(study.store).reconstruction.read(name)
        for name in ("training_error", "n_steps", "converged", "n_shortened", "smallest_step", "encode_steps")
    }
    known = Store(study.store).reconstruction.labels("layer")
    print("\n| layer | error of the first batches | of the last | iterations a batch | of the code of all images | "
          "batches shortened | shortest step | batches not converged | r between seeds |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for layer in study.layers:
        if layer not in known:
            print(f"| {layer} | failed | | | | | | | |")
            continue
        one = {name: values[known.index(layer)] for name, values in stored.items()}
        first, last = np.nanmean(one["training_error"][:, :ENDS]), np.nanmean(one["training_error"][:, -ENDS:])
        shortened = ", ".join(map(str, one["n_shortened"]))
        agreement = ", ".join(f"{r:.3f}" for r in pairs.get(layer, []))
        print(
            f"| {layer} | {first:.4f} | {last:.4f} | {one['n_steps'].mean():.1f} | {one['encode_steps'].mean():.0f} | "
            f"{shortened} | {np.nanmin(one['smallest_step']):.2g} | {int((~one['converged']).sum())} | {agreement} |"
        )
