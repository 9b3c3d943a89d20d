"""How near the residual of a PCA with 100 components comes to that of the sparse autoencoder with 100 hidden units.

    python benchmarks/autoencoder.py

Patches of photographs that scikit-image and scikit-learn ship, through two trained networks that are read out of wheels
of the package index (`tests/trained`): the convolutions of VGG-16, and a ViT-S/14 (DINOv2's backbone). Both layers are
averaged over positions. Printed for each and for some settings of the training: mean of both errors (of a variance of
1), correlation of the autoencoder error with the PCA error and between seeds, over all images, and processor time.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from distspc.datasets.demo import PHOTOGRAPHS, SAMPLE_IMAGES, patches
from distspc.measures.autoencoder import MEASURE, AutoencoderOptions, Moments, pca_residuals, residuals, train
from distspc.pipeline.run import Study
from distspc.store.store import Store

ROOT = Path(__file__).parents[1]
SEEDS = (0, 1, 2)
SETTINGS = {
    "default": {},
    "100 epochs": {"epochs": 100},
    "100 epochs, sparsity 1": {"epochs": 100, "sparsity": 1.0},
    "batches of 1 at 1e-4, 5 epochs": {"batch_size": 1, "learning_rate": 1e-4, "epochs": 5},
    "batches of 1 at 1e-4, 20 epochs": {"batch_size": 1, "learning_rate": 1e-4},
}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--patches", type=int, default=40, help="of each of 16 photographs")
    arguments.add_argument("--networks", nargs="+", default=["vit", "vgg16"], choices=["vit", "vgg16"])
    settings = arguments.parse_args()
    n_patches = settings.patches
    n_images, hidden = n_patches * len(PHOTOGRAPHS + SAMPLE_IMAGES), MEASURE.options().hidden
    print(f"{n_images} images, {hidden} hidden units, {len(SEEDS)} seeds\n")
    print("| embedding | training | autoencoder | PCA | r with PCA | r of two seeds | processor s a seed |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="distspc-autoencoder-") as folder:
        write_patches(Path(folder) / "T", n_patches)
        for name in settings.networks:
            x = embedding(Path(folder), name, *trained_network(Path(folder), name))
            for words, some in SETTINGS.items():
                print(row(f"{name}, {x.shape[1]} features", words, x, AutoencoderOptions(**some)), flush=True)


def write_patches(folder: Path, n_patches: int) -> None:
    """Write patches of all photographs."""
    folder.mkdir()
    for i, patch in enumerate(patches(n_patches)):
        Image.fromarray(patch).save(folder / f"{i + 1}.png")


def trained_network(folder: Path, name: str) -> tuple[dict, str]:
    """Model and layer of a trained network."""
    sys.path.insert(0, str(ROOT))
    from tests.trained import vgg16, vit

    if name == "vit":
        file = vit.VIT.cached("vit_s_focus.onnx")
        return {"weights": str(file), "preprocessing": vit.PREPROCESSING}, vit.block(11)
    weights = vgg16.write_weights(vgg16.VGG16.cached("vgg16_convolutions.onnx"), folder / "vgg16.h5")
    return {"weights": str(weights), "preprocessing": "caffe"}, "block5_pool"


def embedding(folder: Path, name: str, model: dict, layer: str) -> np.ndarray:
    """Standardised features of all images at a layer, averaged over positions."""
    content = {
        "store": f"{name}.zarr",
        "images": {"targets": "T"},
        "model": {**model, "pooling": "mean"},
        "layers": [layer],
    }
    Study.from_dict(content, base=folder).run(stages=["extract"])
    values = Store(folder / f"{name}.zarr").layer(layer).read("activation")
    return Moments(values.mean(axis=0), values.std(axis=0)).standardise(values)


def row(name: str, words: str, x: np.ndarray, options: AutoencoderOptions) -> str:
    """One line of the table."""
    from sklearn.decomposition import PCA

    pca = PCA(options.hidden, svd_solver="full").fit(x.astype(np.float64))
    linear = pca_residuals(x, pca.components_, pca.mean_)
    train(x[:64], AutoencoderOptions(epochs=1), 0)  # imports are no part of it
    start = time.process_time()
    errors = [residuals(x, train(x, options, seed)) for seed in SEEDS]
    seconds = (time.process_time() - start) / len(SEEDS)
    between = np.mean([np.corrcoef(a, b)[0, 1] for a, b in itertools.combinations(errors, 2)])
    r = np.corrcoef(np.mean(errors, axis=0), linear)[0, 1]
    return (
        f"| {name} | {words} | {np.mean(errors):.3f} | {linear.mean():.3f} | {r:.3f} | {between:.3f} | {seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
