"""What extraction costs: the bare forward pass, files to store, and the authors' way of doing it.

Run on an otherwise idle machine:

    python benchmarks/extraction.py
    python benchmarks/extraction.py --images 512 --cores 4 --layouts 1x4 2x2 4x1 --skip-memory
    python benchmarks/extraction.py --engine onnx --images 128 --layouts 2x1 --skip-memory --skip-authors

Images are crops of photographs that scikit-image and scikit-learn ship; weights are random (the arithmetic is the
same, the activations are less sparse than a trained network's, so that compression has more to do).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from distspc.deployment.session import deploy
from distspc.layers import LAYERS
from distspc.store.store import Store

PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "hubble_deep_field.jpg", "retina.jpg")
SIDE = 256


Rate = dict[str, float]
"""Images a second (`rate`), processor seconds an image (`cpu`), and more where there is more to say."""


def main() -> None:
    """Measure and print."""
    settings = parse_arguments()
    if settings.part:
        run_part(settings)
        return
    folder = Path(tempfile.mkdtemp(prefix="distspc-extraction-", dir=settings.directory))
    try:
        measure(settings, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parse_arguments() -> argparse.Namespace:
    """Sizes and what to leave out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--many-images", type=int, default=1024, help="for the peak of memory")
    parser.add_argument("--authors-images", type=int, default=12, help="for the authors' way")
    parser.add_argument("--layers", nargs="+", default=list(LAYERS))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--layouts", nargs="+", default=["1x2", "2x1"], help="worker processes x cores of each")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--engine", default="keras", choices=["keras", "onnx"], help="of both passes")
    parser.add_argument("--directory", default=None, help="where the files go (default: the temporary folder)")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--skip-authors", action="store_true")
    parser.add_argument("--part", choices=["bare", "authors"], help=argparse.SUPPRESS)
    parser.add_argument("--photographs", help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(settings: argparse.Namespace, folder: Path) -> None:
    """Every part in turn; bare and end to end alternate, so that a noisy moment does not favour one of them."""
    photographs = write_crops(folder / "Images", settings.images)
    print(f"{settings.images} crops, {len(settings.layers)} layers, {settings.cores} cores, {arithmetic(settings)}")
    best = choose_batch_size(settings, photographs)
    bare: dict[str, list[Rate]] = {layout: [] for layout in settings.layouts}
    whole: dict[str, list[Rate]] = {layout: [] for layout in settings.layouts}
    for _ in range(settings.rounds):
        for layout in settings.layouts:
            bare[layout].append(bare_rate(settings, photographs, layout, best))
            whole[layout].append(end_to_end(settings, photographs, folder / "store.zarr", layout, best))
    report_rates(bare, whole, best)
    fastest = max(median(rates, "rate") for rates in whole.values())
    if not settings.skip_authors:
        rate = run_apart(settings, "authors", photographs)["rate"]
        print(
            f"the authors' way: {rate:.3f} images/s on {settings.authors_images} images; {fastest / rate:.1f} x slower"
        )
    if not settings.skip_memory:
        report_memory(settings, folder, best)


def write_crops(folder: Path, n: int) -> Path:
    """Write crops of photographs as JPEG files, quality 75."""
    import PIL.Image
    import skimage
    import sklearn

    shipped = Path(skimage.__file__).parent / "data"
    scenes = [shipped / name for name in PHOTOGRAPHS]
    scenes += [Path(sklearn.__file__).parent / "datasets" / "images" / name for name in ("china.jpg", "flower.jpg")]
    pictures = [np.asarray(PIL.Image.open(scene).convert("RGB")) for scene in scenes]
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(1, n + 1):
        picture = pictures[i % len(pictures)]
        row, column = (int(rng.integers(0, length - SIDE + 1)) for length in picture.shape[:2])
        crop = PIL.Image.fromarray(picture[row : row + SIDE, column : column + SIDE])
        crop.save(folder / f"{i}.jpg", quality=75)
    return folder


# ---------------------------------------------------------------- the bare forward pass


def choose_batch_size(settings: argparse.Namespace, photographs: Path) -> int:
    """Batch size at which one process with all cores is fastest."""
    rates = {
        size: bare_rate(settings, photographs, f"1x{settings.cores}", size)["rate"] for size in settings.batch_sizes
    }
    print("bare forward pass by batch size:", ", ".join(f"{size}: {rate:.2f}/s" for size, rate in rates.items()))
    return max(rates, key=lambda size: rates[size])


def bare_rate(settings: argparse.Namespace, photographs: Path, layout: str, batch_size: int) -> Rate:
    """Images a second of nothing but forward passes, processes side by side; images are decoded before."""
    n_workers, cores = (int(part) for part in layout.split("x"))
    parts = [start_apart(settings, "bare", photographs, cores, batch_size) for _ in range(n_workers)]
    for part in parts:
        part.stdout.readline()  # ready
    for part in parts:
        part.stdin.write("go\n")
        part.stdin.flush()
    found = [json.loads(part.communicate()[0]) for part in parts]
    return {"rate": sum(one["rate"] for one in found), "cpu": statistics.mean(one["cpu"] for one in found)}


def run_bare(settings: argparse.Namespace) -> None:
    """Part of its own process: batches forward for some seconds."""
    from distspc.extraction.network import load_network
    from distspc.extraction.network_spec import resolve_network
    from distspc.images.decoding import network_input

    network = load_network(resolve_network("random", layers=settings.layers, **arithmetic(settings)), settings.cores)
    files = sorted(Path(settings.photographs).iterdir())[: settings.batch_size]
    batch = np.stack([network_input(file) for file in files])
    network.activations(batch)
    print("ready", flush=True)
    sys.stdin.readline()
    n, start, used = 0, time.perf_counter(), time.process_time()
    while (seconds := time.perf_counter() - start) < 12:
        network.activations(batch)
        n += len(batch)
    print(json.dumps({"rate": n / seconds, "cpu": (time.process_time() - used) / n}))


# ---------------------------------------------------------------- files to store


def end_to_end(settings: argparse.Namespace, photographs: Path, store: Path, layout: str, batch_size: int) -> Rate:
    """From files to store: rates of warm workers and from a cold start, processor seconds, peak of memory (bytes)."""
    from distspc.extraction import build
    from distspc.images import inventory, listing

    n_workers, cores = layout.split("x")
    shutil.rmtree(store, ignore_errors=True)
    options = {
        "layers": settings.layers,
        "weights": "random",
        "batch_size": batch_size,
        **arithmetic(settings),
    }
    began = time.perf_counter()
    overrides = [f"workers={n_workers}", f"cores-per-worker={cores}", "memory-per-worker=6 GiB"]
    with deploy("local", overrides=overrides) as client:
        recipe_layers = tuple(settings.layers)
        first = str(next(photographs.iterdir()))
        client.run(warm_up, recipe_layers, arithmetic(settings), int(cores), first, batch_size)
        used = sum(client.run(time.process_time).values())
        start = time.perf_counter()
        sources = listing.list_images(photographs)
        rows = client.gather(client.compute(inventory.scan_images(Store(store), sources)))
        inventory.write_images(Store(store), sources, rows)
        client.gather(client.compute(build.extract_activations(store, **options)))
        end = time.perf_counter()
        used = sum(client.run(time.process_time).values()) - used
        peak = max(client.run(peak_memory).values())
    n = len(sources)
    return {"rate": n / (end - start), "cold": n / (end - began), "cpu": used / n, "peak": peak}


def threads(cores: int) -> dict[str, str]:
    """Environment of a worker with this many cores."""
    return {name: str(cores) for name in ("DISTSPC_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def arithmetic(settings: argparse.Namespace) -> dict[str, str]:
    """Settings of the network beside its weights and layers."""
    return {"precision": settings.precision, "engine": settings.engine}


def warm_up(layers: tuple[str, ...], arithmetic: dict[str, str], cores: int, file: str, batch_size: int) -> None:
    """Import, build the network on a worker and run it once, as the bare pass does before its clock starts."""
    import distspc.extraction.build  # noqa: F401
    from distspc.extraction.network import load_network
    from distspc.extraction.network_spec import resolve_network
    from distspc.images.decoding import network_input

    network = load_network(resolve_network("random", layers=layers, **arithmetic), cores)
    network.activations(np.stack([network_input(file)] * batch_size))


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def report_rates(bare: dict[str, list[Rate]], whole: dict[str, list[Rate]], batch_size: int) -> None:
    """Medians, and their ratio to the bare pass in the layout where that is fastest."""
    fastest = max(median(rates, "rate") for rates in bare.values())
    print(f"batch size {batch_size}; images/s and processor ms an image, median (all rounds)")
    for layout, rates in bare.items():
        files = whole[layout]
        print(f"{layout}: bare {told(rates, 'rate')} /s, {1e3 * median(rates, 'cpu'):.0f} ms")
        print(f"{layout}: files to store {told(files, 'rate')} /s, {1e3 * median(files, 'cpu'):.0f} ms")
        print(f"{layout}: files to store, started cold {told(files, 'cold')} /s")
        share = median(rates, "cpu") / median(files, "cpu")
        print(
            f"{layout}: {median(files, 'rate') / fastest:.3f} of the fastest bare rate; by processor time {share:.3f}"
        )


def median(rates: list[Rate], key: str) -> float:
    """Median over the rounds."""
    return statistics.median(rate[key] for rate in rates)


def told(rates: list[Rate], key: str) -> str:
    """Median and all values."""
    return f"{median(rates, key):.2f} ({', '.join(f'{rate[key]:.2f}' for rate in rates)})"


def report_memory(settings: argparse.Namespace, folder: Path, batch_size: int) -> None:
    """Peaks of a worker's memory for few and for many images."""
    layout, peaks = settings.layouts[0], []
    for n in (settings.images, settings.many_images):
        photographs = write_crops(folder / f"Images{n}", n)
        peaks.append(end_to_end(settings, photographs, folder / "store.zarr", layout, batch_size)["peak"])
        print(f"{layout}: peak of a worker's memory at {n} images: {peaks[-1] / 2**20:.0f} MiB", flush=True)
    print(f"{layout}: {settings.many_images} against {settings.images} images: {peaks[1] / peaks[0] - 1:+.1%}")


# ---------------------------------------------------------------- the authors' way


def run_authors(settings: argparse.Namespace) -> None:
    """Part of its own process: a new model for every image and layer, one image at a time, .npy files."""
    from distspc.extraction.backends.keras_runtime import import_keras
    from distspc.extraction.backends.keras_vgg16 import build_vgg16
    from distspc.extraction.network_spec import resolve_network
    from distspc.images.decoding import network_input

    keras = import_keras(settings.cores)
    vgg16 = build_vgg16(resolve_network("random", layers=settings.layers))
    files = sorted(Path(settings.photographs).iterdir())[: settings.authors_images]
    with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
        start = time.perf_counter()
        for file in files:
            for layer in settings.layers:
                model = keras.Model(vgg16.input, vgg16.get_layer(layer).output)
                values = model.predict(network_input(file)[None].astype("float32"), verbose=0)
                (Path(folder) / layer).mkdir(exist_ok=True)
                np.save(Path(folder) / layer / f"{file.stem}.npy", values)
        seconds = time.perf_counter() - start
    print(json.dumps({"rate": len(files) / seconds}))


# ---------------------------------------------------------------- processes


def run_part(settings: argparse.Namespace) -> None:
    """Do what the parent process asked for."""
    {"bare": run_bare, "authors": run_authors}[settings.part](settings)


def start_apart(
    settings: argparse.Namespace, part: str, photographs: Path, cores: int, batch_size: int = 1
) -> subprocess.Popen[str]:
    """Start a part in its own process."""
    arguments = ["--part", part, "--photographs", str(photographs), "--cores", str(cores), "--layers", *settings.layers]
    arguments += ["--batch-size", str(batch_size), "--authors-images", str(settings.authors_images)]
    arguments += ["--precision", settings.precision, "--engine", settings.engine]
    arguments += ["--directory", settings.directory] if settings.directory else []
    return subprocess.Popen(
        [sys.executable, __file__, *arguments],
        env={**os.environ, **threads(cores)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_apart(settings: argparse.Namespace, part: str, photographs: Path) -> dict[str, float]:
    """Run a part in its own process with all cores."""
    process = start_apart(settings, part, photographs, settings.cores)
    return json.loads(process.communicate()[0])


if __name__ == "__main__":
    main()
