"""The whole method on n images, the projection to the paper's study, and the same projection of the authors' way.

    python benchmarks/whole_study.py                  # 256 images, the four upper layers, 40 batches: minutes
    python benchmarks/whole_study.py --check --images 2000 --layers block4_pool block5_pool fc1 fc2 --seeds 2
    python benchmarks/whole_study.py --full DIR       # the classic study for real: hours, 50 GB (`full_study.py`)

Every stage of a study runs on local worker processes from image files to report; printed are its seconds and the peak
of a worker's resident memory, sampled ten times a second. From these, in the same run:

- rates for the model of `distspc plan` (`distspc.pipeline.cost.fit_rates`): speed of products of the busy machine,
  bytes that a worker reads from the store in a second, seconds until a worker has its network, inner steps (batches
  beyond those of the sample take as many steps as its later half), and the share of the products' speed that each
  stage reaches. That of the distances comes from synthetic activations of block5_pool (1,024 targets, 2,048 images):
  few photographs are too few;
- the terms of the authors' way, each measured on some images and scaled by stated factors: a Keras model built anew for
  each image and layer, one forward pass at a time, a file each; every image's file of the layer read again for each
  target; a literal transcription of the training with its two SVDs a step.

`--check` then runs another study of `--images` with the full settings of the method, on new workers, beside what was
predicted for it. Photographs are crops of those that scikit-image and scikit-learn ship. Weights are random, those of
each unit shifted to a mean of zero: with plain random weights the images of a deep layer are nearly the same (mean
correlation 0.9). Shifted ones leave them as different (0.2) that batches take about as many steps as on activations
like those of a trained network. `--full` takes plain random weights, or a network of one's own (`--weights`).
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from distspc.deployment.session import deploy
from distspc.layers import LAYERS
from distspc.messages import format_nbytes
from distspc.pipeline.compute import available_workers, compute
from distspc.pipeline.cost import Rates, Resources, fit_rates, measure_gflops, plan_study
from distspc.pipeline.run import Study
from distspc.store.store import Store
from distspc.tasks import ranges
from distspc.testing.stores import make_store

sys.path.insert(0, str(Path(__file__).parent))
from extraction import write_crops
from full_study import STAGES, run_full
from sparse_coding import load_oracle, timed

PAPER = {"n_targets": 2222, "n_fillers": 8042}
N_PAPER = sum(PAPER.values())
METHOD = {"units": 1000, "codewords": 500, "batches": 1000, "batch-size": 250}
UPPER_LAYERS = ["block4_pool", "block5_pool", "fc1", "fc2"]
TARGET_SHARE = PAPER["n_targets"] / N_PAPER
SAMPLE_BATCHES = 40
N_CORES = len(os.sched_getaffinity(0))


def main() -> None:
    """Measure, project, and with `--check` compare."""
    settings = parse_arguments()
    if settings.full:
        run_full(settings)
        return
    settings.images = settings.images or 256
    if settings.part:
        print(json.dumps(authors_extraction(settings)))
        return
    with tempfile.TemporaryDirectory(prefix="whole-study-", dir=settings.directory) as name:
        folder = Path(name)
        write_weights(folder / "weights.h5")
        n_sample = min(settings.images, settings.sample) if settings.check else settings.images
        study = make_study(folder / "sample", n_sample, settings, seeds=1, batches=SAMPLE_BATCHES)
        rates, resources, fixed = measure_sample(study, settings, folder)
        theirs = {} if settings.skip_authors else authors_way(settings, study, folder, rates)
        project(study, resources, rates, fixed, theirs)
        if settings.check:
            check(settings, folder, resources, rates, fixed)


def parse_arguments() -> argparse.Namespace:
    """Sizes and what to leave out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", metavar="DIR", help="run the classic study there, all layers and defaults, for real")
    parser.add_argument("--full-seeds", nargs="+", type=int, default=[0], help="of --full; more may be added later")
    parser.add_argument("--full-layers", nargs="+", help="of --full; all seven if not given")
    parser.add_argument("--weights", help="of --full: a file or a name as in a study; random numbers if not given")
    parser.add_argument("--preprocessing", help="of --full: as in a study; its default if not given")
    parser.add_argument("--images", type=int, help="256 if not given; with --full the paper's 10,264")
    parser.add_argument("--layers", nargs="+", default=UPPER_LAYERS, choices=list(LAYERS))
    parser.add_argument("--seeds", type=int, default=1, help="of the study that --check runs")
    parser.add_argument("--check", action="store_true", help="predict a study of --images, then run it")
    parser.add_argument("--sample", type=int, default=256, help="images of the sample that --check predicts from")
    parser.add_argument("--batches", type=int, default=METHOD["batches"], help="of the study that --check runs")
    parser.add_argument("--workers", type=int, default=N_CORES)
    parser.add_argument("--cores", type=int, default=1, help="of each worker")
    parser.add_argument("--memory", default="6 GiB", help="of each worker")
    parser.add_argument("--authors-images", type=int, default=6)
    parser.add_argument("--authors-files", type=int, default=32, help=".npy files read again")
    parser.add_argument("--skip-authors", action="store_true")
    parser.add_argument("--directory", default=None, help="where the files go (default: the temporary folder)")
    parser.add_argument("--part", choices=["authors"], help=argparse.SUPPRESS)
    parser.add_argument("--photographs", help=argparse.SUPPRESS)
    return parser.parse_args()


def write_weights(path: Path) -> None:
    """Random weights of VGG-16 up to fc2 as a Keras-2 file, each unit's of mean zero and variance about 3 / inputs."""
    import h5py

    from distspc.extraction.backends.base import random_kernel
    from distspc.layers import VGG16, vgg16_weight_shapes

    shapes = vgg16_weight_shapes([name for name in VGG16 if name != "predictions"], 1365)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([name.encode() for name in shapes])
        for name, (kernel, bias) in shapes.items():
            values = random_kernel(kernel, math.prod(kernel[:-1]), seed=0, name=name)
            values -= values.mean(axis=tuple(range(values.ndim - 1)))
            values *= 1.21  # ReLU's variance about its mean is smaller than its mean square: 0.34 to 0.5
            group = file.create_group(name)
            names = [f"{name}/kernel:0", f"{name}/bias:0"]
            group.attrs["weight_names"] = np.array([one.encode() for one in names])
            for one, array in zip(names, (values, np.zeros(bias, np.float32)), strict=True):
                group.create_dataset(one, data=array)


def make_study(folder: Path, n: int, settings: argparse.Namespace, *, seeds: int, batches: int) -> Study:
    """Photographs in two folders, invented scores, and a study of them."""
    n_targets = max(2, round(TARGET_SHARE * n))
    fillers = write_crops(folder / "Fillers", n)
    (folder / "Targets").mkdir()
    for i in range(1, n_targets + 1):
        (fillers / f"{i}.jpg").rename(folder / "Targets" / f"{i}.jpg")
    rng = np.random.default_rng(0)
    lines = [f"{i},{score:.4f}" for i, score in enumerate(rng.uniform(size=n_targets), start=1)]
    (folder / "scores.csv").write_text("\n".join(["im_ind,corrected_hit", *lines]) + "\n")
    return Study.from_dict(
        {
            "store": "study.zarr",
            "report": "study.html",
            "images": {"targets": "Targets", "fillers": "Fillers"},
            "scores": {"file": "scores.csv"},
            "model": {"weights": str(folder.parent / "weights.h5")},
            "layers": settings.layers,
            "reconstruction": METHOD
            | {"batches": batches, "batch-size": min(METHOD["batch-size"], n), "seeds": list(range(seeds))},
        },
        base=folder,
    )


def count(study: Study) -> dict[str, int]:
    """Targets and fillers of a study of ours."""
    targets, fillers = (len(list(Path(p).iterdir())) for p in (study.images.targets, study.images.fillers))
    return {"n_targets": targets, "n_fillers": fillers}


# ---------------------------------------------------------------- our way


def measure_sample(study: Study, settings: argparse.Namespace, folder: Path) -> tuple[Rates, Resources, dict]:
    """Run the sample on warm workers; give the model's rates, what it ran on, and seconds that hardly grow."""
    gflops, double = measure_gflops(), measure_gflops(dtype="float64")
    with workers(settings) as (client, started):
        limits = [w["memory_limit"] for w in client.scheduler_info(n_workers=-1)["workers"].values()]
        resources = Resources(settings.workers, settings.cores, min(limits), gflops)
        first = str(next(study.images.fillers.iterdir()))
        start_s, _ = timed(client.run, warm_up, study, settings.cores, first)
        seconds, peaks = run_stages(study, client)
        read = min(client.run(bytes_per_s, str(study.store), list(study.layers)).values())
        base = Rates(float64_share=double / gflops, store_bytes_per_s=read, start_s=0.0)
        base = replace(base, efficiency=base.efficiency | distance_efficiency(client, folder, resources, base))
    taken, whole, encode_steps = inner_steps(study)
    base = replace(base, train_steps=taken, test_steps=encode_steps)
    found = {stage: seconds[stage] for stage in ("extract", "reconstruct")}
    rates = fit_rates(study, found, **count(study), resources=resources, rates=base)
    n = sum(count(study).values())
    sizes = f"{n} images, {len(study.layers)} layers, {study.reconstruction.batches} batches, one seed"
    speed = f"{gflops:.0f} GFLOP/s a core (float64 {double:.0f}) with all busy"
    print(f"{sizes}; {settings.workers} workers, {settings.cores} cores each; {speed}\n")
    print("| stage | seconds | peak memory of a worker | share of the product's speed |\n|---|---|---|---|")
    for stage in STAGES:
        share = f"{rates.efficiency[stage]:.2f}" if stage in rates.efficiency else ""
        print(f"| {stage} | {seconds[stage]:.1f} | {format_nbytes(peaks[stage])} | {share} |")
    print(
        f"\nworkers start in {started:.1f} s, have the network {start_s:.1f} s later; {read / 1e6:.0f} MB/s read "
        f"a worker; {taken:.1f} inner steps a batch in {study.reconstruction.batches} batches, {whole:.1f} expected in "
        f"{METHOD['batches']}; {encode_steps:.0f} of the code of all images\n",
        flush=True,
    )
    fixed = {"workers start": started, "relate": seconds["relate"], "report": seconds["report"]}
    return replace(rates, train_steps=whole, start_s=start_s), resources, fixed


@contextmanager
def workers(settings: argparse.Namespace) -> Iterator[tuple]:
    """Local worker processes: a client, and the seconds they took to start."""
    overrides = [f"workers={settings.workers}", f"cores-per-worker={settings.cores}"]
    begun = time.perf_counter()
    with deploy("local", overrides=[*overrides, f"memory-per-worker={settings.memory}"]) as client:
        yield client, time.perf_counter() - begun


def run_stages(study: Study, client) -> tuple[dict[str, float], dict[str, int]]:
    """Seconds of every stage and peak of a worker's memory in it."""
    seconds, peaks = {}, {}
    for stage in STAGES:
        with Watch(client) as watch:
            seconds[stage], _ = timed(study.run, client, stages=[stage])
        peaks[stage] = watch.peak
    return seconds, peaks


class Watch:
    """Largest resident memory of any worker process while the block runs."""

    def __init__(self, client) -> None:
        self.processes = [psutil.Process(pid) for pid in client.run(os.getpid).values()]

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
            self.peak = max([self.peak, *(p.memory_info().rss for p in self.processes if p.is_running())])
            time.sleep(0.1)


def warm_up(study: Study, cores: int, file: str) -> None:
    """On a worker: import, build the network and run it once."""
    import distspc.extraction.build  # noqa: F401
    from distspc.extraction.network import load_network
    from distspc.extraction.network_spec import resolve_network
    from distspc.images.decoding import network_input

    network = load_network(resolve_network(study.model.weights, layers=study.layers), cores)
    network.activations(np.stack([network_input(file)] * study.model.batch_size))


def bytes_per_s(store: str, layers: list[str], limit_s: float = 2.0) -> float:
    """On a worker: bytes a second read from the store, chunk row after chunk row, from the file cache."""
    nbytes, start = 0, time.perf_counter()
    while time.perf_counter() - start < limit_s:
        for layer in layers:
            group = f"activations/{layer}"
            n, size = Store(store)[group].sizes["image"], Store(store)[group].chunks("activation")["image"]
            for a, b in ranges(n, size):
                nbytes += Store(store)[group].read("activation", image=slice(a, b)).nbytes
    return nbytes / (time.perf_counter() - start)


def distance_efficiency(client, folder: Path, resources: Resources, rates: Rates) -> dict[str, float]:
    """Share of the product's speed that distances reach: one task of the same size on every worker."""
    from distspc.distances.build import nearest_distances

    layer, sizes = "block5_pool", {"n_targets": 1024, "n_fillers": 1024}
    stores = [folder / f"distances-{i}.zarr" for i in range(resources.n_workers)]
    make_store(stores[0], **sizes, layers={layer: LAYERS[layer].n_features})
    for store in stores[1:]:
        shutil.copytree(stores[0], store)
    tries = []
    for _ in range(3):  # the first imports
        tasks = []
        for store in stores:
            Store(store).distances.remove()
            tasks += nearest_distances(store, layer=layer, memory_nbytes=available_workers(client).task_memory_nbytes)
        tries.append(timed(compute, tasks, client, label="distances")[0])
    for store in stores:
        shutil.rmtree(store)
    study = Study.from_dict({"store": "s", "images": {"targets": "t"}, "layers": [layer]})
    alone = replace(resources, n_workers=1)
    fitted = fit_rates(study, {"distances": min(tries)}, **sizes, resources=alone, rates=rates)
    return {"distances": fitted.efficiency["distances"]}


def inner_steps(study: Study) -> tuple[float, float, float]:
    """Inner steps a batch: as taken, and as expected in the method's training; steps of the code of all images."""
    steps = Store(study.store).reconstruction.read("n_steps")
    n, total = steps.shape[-1], METHOD["batches"]
    later = steps[..., n // 2 :].mean()
    whole = (steps.sum(axis=-1).mean() + later * (total - n)) / total
    return (
        float(steps.mean()),
        float(whole),
        float(Store(study.store).reconstruction.read("encode_steps").mean()),
    )


# ---------------------------------------------------------------- the authors' way


def authors_way(settings: argparse.Namespace, study: Study, folder: Path, rates: Rates) -> dict[str, list[tuple]]:
    """By stage: terms (what, seconds measured, on what, factor, seconds in all) for the paper's images and 7 layers."""
    return {
        "extract": extraction_terms(settings, study),
        "distances": distance_terms(settings, study, folder),
        "reconstruct": training_terms(study, rates),
    }


def authors_extraction(settings: argparse.Namespace) -> dict[str, float]:
    """In a process of its own: seconds by term, of some images at all layers."""
    from distspc.extraction.backends.keras_runtime import import_keras
    from distspc.extraction.backends.keras_vgg16 import build_vgg16
    from distspc.extraction.network_spec import resolve_network
    from distspc.images.decoding import network_input

    keras = import_keras(N_CORES)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it says that models are traced anew: that is measured
    vgg16 = build_vgg16(resolve_network("random", layers=list(LAYERS)))
    files = sorted(Path(settings.photographs).iterdir())[: settings.authors_images]
    terms = {"model built anew": 0.0, "forward pass": 0.0, "file written": 0.0}
    with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
        for file in files:
            for layer in LAYERS:
                image = network_input(str(file))[None].astype("float32")
                times = [time.perf_counter()]
                model = keras.Model(vgg16.input, vgg16.get_layer(layer).output)
                for _ in range(2):  # the first pass of a model traces it, the second shows what a pass costs
                    values = model.predict(image, verbose=0)
                    times.append(time.perf_counter())
                np.save(Path(folder) / f"{file.stem}-{layer}.npy", values)
                times.append(time.perf_counter())
                first, again, saved = np.diff(times)
                terms["model built anew"] += first - again
                terms["forward pass"] += again
                terms["file written"] += saved
    return terms


def extraction_terms(settings: argparse.Namespace, study: Study) -> list[tuple]:
    """A model, a forward pass and a file for each image and layer; one process with all cores."""
    arguments = ["--part", "authors", "--photographs", str(study.images.targets)]
    arguments += ["--authors-images", str(settings.authors_images)]
    arguments += ["--directory", settings.directory] if settings.directory else []
    command = [sys.executable, __file__, *arguments]
    terms = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    n = min(settings.authors_images, count(study)["n_targets"])
    return [
        (what, seconds, f"{n} images x 7 layers", f"{N_PAPER} / {n} images", seconds * N_PAPER / n)
        for what, seconds in terms.items()
    ]


def distance_terms(settings: argparse.Namespace, study: Study, folder: Path) -> list[tuple]:
    """Every file of a layer loaded again for each target; one process a core at a time, files in the cache."""
    read = subtracted = features = 0.0
    n_files = min(settings.authors_files, sum(count(study).values()))
    for layer in study.layers:
        values = Store(study.store).layer(layer).read("activation", image=slice(0, n_files))
        files = [folder / f"{layer}-{i}.npy" for i in range(n_files)]
        for file, row in zip(files, values, strict=True):
            np.save(file, row[None])
        target = values[0]
        for file in files:
            start = time.perf_counter()
            row = np.load(file)
            loaded = time.perf_counter()
            np.linalg.norm(target - row)
            read, subtracted = read + loaded - start, subtracted + time.perf_counter() - loaded
            file.unlink()
        features += LAYERS[layer].n_features
    # Layers that are not measured cost as much a feature.
    layers = sum(layer.n_features for layer in LAYERS.values()) / features
    factor = PAPER["n_targets"] * N_PAPER / n_files * layers / N_CORES
    told = f"2222 targets x {N_PAPER} / {n_files} files, {N_CORES} at a time"
    told += f", x {layers:.1f} for the other layers" if layers > 1 else ""
    on = f"1 target x {n_files} files x {len(study.layers)} layers"
    return [
        ("every file read for every target", read, on, told, read * factor),
        ("distances one by one", subtracted, on, told, subtracted * factor),
    ]


def training_terms(study: Study, rates: Rates, n_batches: int = 2, n_rows: int = 2048) -> list[tuple]:
    """Literal training and encoding: two SVDs a step and the rest; one process with all cores."""
    oracle, layer = load_oracle(), study.layers[-1]
    activations = Store(study.store).layer(layer).read("activation")
    rng, _, x, phi = oracle.draw(0, activations, METHOD["units"], METHOD["codewords"])
    seconds, (phi, _, steps, _) = timed(oracle.train, x, phi, rng, n_batches, METHOD["batch-size"])
    code = np.random.default_rng(0).standard_normal((METHOD["batch-size"], METHOD["codewords"]))
    svds = 2 * sum(timed(np.linalg.norm, code, 2)[0] for _ in range(5)) / 5
    a_step = seconds / steps.sum()
    rows = np.tile(x, (math.ceil(n_rows / len(x)), 1))[:n_rows]
    encoding, (_, encode_steps, _) = timed(oracle.reconstruct, rows, phi)
    n_steps = rates.train_steps * METHOD["batches"] * len(LAYERS)
    again = rates.test_steps * len(LAYERS) * N_PAPER / n_rows
    told = f"{rates.train_steps:.1f} steps x 1000 batches x 7 layers"
    on = f"a step, mean of {steps.sum()}"
    return [
        ("training: two SVDs a step", svds, "a step, mean of 5", told, svds * n_steps),
        ("training: the rest", a_step - svds, on, told, (a_step - svds) * n_steps),
        (
            "code of all images, with two SVDs a step",
            encoding / encode_steps,
            f"a step of {n_rows} rows, mean of {encode_steps}",
            f"{rates.test_steps:.0f} steps x 7 layers x {N_PAPER} / {n_rows} rows",
            encoding / encode_steps * again,
        ),
    ]


# ---------------------------------------------------------------- projection and check


def predicted(study: Study, sizes: dict[str, int], resources: Resources, rates: Rates) -> dict[str, float]:
    """Seconds by stage, as `distspc plan` has them."""
    plans = plan_study(study, **sizes, resources=resources, rates=rates)
    return {stage: sum(p.seconds for p in plans if p.stage == stage) for stage in dict.fromkeys(p.stage for p in plans)}


def project(study: Study, resources: Resources, rates: Rates, fixed: dict[str, float], theirs: dict) -> None:
    """Tables of the paper's study: ours from the model, the authors' from its terms."""
    whole = study.model_copy(
        update={
            "layers": tuple(LAYERS),
            "reconstruction": study.reconstruction.model_copy(
                update={"batches": METHOD["batches"], "batch_size": METHOD["batch-size"]}
            ),
        }
    )
    ours = predicted(whole, PAPER, resources, rates)
    if theirs:
        print("| the authors' way: term | seconds measured | on | times | hours |\n|---|---|---|---|---|")
        for terms in theirs.values():
            for what, seconds, on, factor, total in terms:
                print(f"| {what} | {seconds:.3g} | {on} | {factor} | {total / 3600:.3g} |")
    print(f"\n| {N_PAPER} images x 7 layers, projected | distspc, hours | the authors' way, hours | times |")
    print("|---|---|---|---|")
    totals = {stage: sum(term[-1] for term in terms) for stage, terms in theirs.items()}
    for stage, seconds in ours.items():
        print(f"| {stage} | {hours(seconds)} | {compared(totals.get(stage), seconds)} |")
    rest = sum(fixed.values())
    print(f"| start of workers, relate, report (as in the sample) | {hours(rest)} | | |")
    seconds = sum(ours.values()) + rest
    print(f"| in all | {hours(seconds)} | {compared(sum(totals.values()) or None, seconds)} |\n", flush=True)


def hours(seconds: float) -> str:
    """Hours to three digits."""
    return f"{seconds / 3600:.3g}"


def compared(theirs: float | None, ours: float) -> str:
    """Two cells."""
    return " | " if theirs is None else f"{hours(theirs)} | {theirs / ours:.0f}"


def check(
    settings: argparse.Namespace, folder: Path, resources: Resources, rates: Rates, fixed: dict[str, float]
) -> None:
    """A study of another size: what is predicted for it, then what it takes."""
    study = make_study(folder / "check", settings.images, settings, seeds=settings.seeds, batches=settings.batches)
    foretold = predicted(study, count(study), resources, rates) | fixed
    plain = predicted(study, count(study), resources, Rates())
    told = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in foretold.items())
    print(f"predicted for {settings.images} images, {len(study.layers)} layers, {settings.seeds} seeds, "
          f"{settings.batches} batches: {told}; in all {sum(foretold.values()):.0f} s", flush=True)  # fmt: skip
    with workers(settings) as (client, started):
        seconds, peaks = run_stages(study, client)
    real = {"workers start": started, **seconds}
    memory = {}
    for p in plan_study(study, **count(study), resources=resources, rates=rates):
        memory[p.stage] = max(memory.get(p.stage, 0), p.task_nbytes)
    print("\n| stage | predicted, s | real, s | predicted / real | `distspc plan` without the sample, s | "
          "peak memory of a worker | planned for a task |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for stage, taken in real.items():
        plan = f"{plain[stage]:.0f}" if stage in plain else ""
        planned = format_nbytes(memory[stage]) if stage in memory else ""
        peak = format_nbytes(peaks[stage]) if stage in peaks else ""
        print(f"| {stage} | {foretold[stage]:.1f} | {taken:.1f} | {foretold[stage] / taken:.2f} | {plan} | {peak} | "
              f"{planned} |")  # fmt: skip
    total, taken = sum(foretold.values()), sum(real.values())
    print(f"| in all | {total:.0f} | {taken:.0f} | **{total / taken:.2f}** | {sum(plain.values()):.0f} | | |")
    _, _, encode_steps = inner_steps(study)
    steps = Store(study.store).reconstruction.read("n_steps").mean()
    print(f"\ninner steps a batch: {rates.train_steps:.1f} expected, {steps:.1f} taken; "
          f"of the code of all images {rates.test_steps:.0f} and {encode_steps:.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
