"""What lower precision of the network's arithmetic, or of the store, does to both measures.

    python benchmarks/precision.py

Random weights; crops of photographs that scikit-image and scikit-learn ship, as in extraction.py. Printed for each
layer, against float32 throughout: correlation of the measure over targets, its largest relative change, and the
share of targets whose nearest neighbour is the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import dask
import numpy as np

from distspc.distances.build import nearest_distances
from distspc.extraction import build
from distspc.images import inventory, listing
from distspc.reconstruction.build import fit_sparse_code
from distspc.store.store import Store

sys.path.insert(0, str(Path(__file__).parent))
from extraction import write_crops

VARIANTS = {
    "float32": {},
    "float16 store": {"dtype": "float16"},
    "float16 arithmetic": {"precision": "float16"},
    "bfloat16 arithmetic": {"precision": "bfloat16"},
}


def main() -> None:
    """Measure and print."""
    settings = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="distspc-precision-", dir=settings.directory) as folder:
        photographs = write_crops(Path(folder) / "Images", settings.images)
        found = {
            name: measures(settings, photographs, Path(folder) / f"{name}.zarr".replace(" ", "-"), options)
            for name, options in VARIANTS.items()
        }
    for name in list(VARIANTS)[1:]:
        for layer in settings.layers:
            print(f"{name}, {layer}: {compared(found[name][layer], found['float32'][layer])}")


def parse_arguments() -> argparse.Namespace:
    """Sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--layers", nargs="+", default=["block1_pool", "block3_pool", "block5_pool", "fc1", "fc2"])
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--codewords", type=int, default=100)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--directory", default=None)
    return parser.parse_args()


def measures(
    settings: argparse.Namespace, photographs: Path, store: Path, options: dict[str, str]
) -> dict[str, dict[str, np.ndarray]]:
    """Distance, neighbour and reconstruction error of every target by layer."""
    sources = listing.list_images(photographs)
    inventory.write_images(Store(store), sources, run(inventory.scan_images(Store(store), sources)))
    run(build.extract_activations(store, layers=settings.layers, weights="random", **options))
    found = {}
    for layer in settings.layers:
        run(nearest_distances(store, layer=layer))
        sizes = {"n_units": settings.units, "n_codewords": settings.codewords, "n_batches": settings.batches}
        run(fit_sparse_code(store, layer=layer, seeds=[0], batch_size=50, sparsity=0.001, **sizes))
        at = {"layer": Store(store).distances.position("layer", layer)}
        here = {"layer": Store(store).reconstruction.position("layer", layer), "seed": 0}
        found[layer] = {
            "distance": Store(store).distances.read("distance", neighbour=0, **at),
            "neighbour": Store(store).distances.read("neighbour_index", neighbour=0, **at),
            "error": Store(store).reconstruction.read("error", **here),
        }
    return found


def run(tasks: list) -> tuple:
    """Compute in this process."""
    return dask.compute(*tasks, scheduler="synchronous")


def compared(found: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> str:
    """One line."""
    told = []
    for name in ("distance", "error"):
        r = np.corrcoef(found[name], exact[name])[0, 1]
        change = np.abs(found[name] / exact[name] - 1).max()
        told.append(f"{name} r {r:.7f}, largest change {change:.1e}")
    told.append(f"same neighbour {np.mean(found['neighbour'] == exact['neighbour']):.3f}")
    return "; ".join(told)


if __name__ == "__main__":
    main()
