"""A small study on real photographs that installed packages ship: no network needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from distspc.errors import InputError

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "immunohistochemistry", "moon", "retina", "rocket", "stereo_motorcycle",
)  # fmt: skip
SAMPLE_IMAGES = ("china.jpg", "flower.jpg")
PATCHES_PER_PHOTOGRAPH = 8
N_TARGETS_PER_PHOTOGRAPH = 3
PATCH_PIXELS = 256

STUDY = """\
# A demonstration: patches of photographs that scikit-image and scikit-learn ship, and a network whose
# weights are random numbers. The numbers show that everything works; they say nothing about memory.
store: study.zarr
images:
  targets: Images/Targets
  fillers: Images/Fillers
scores:
  file: scores.csv
  image: image
  columns: [edge_density]      # measured on the pixels: nobody's memory was tested on these patches
model:
  weights: random              # hybrid1365 for the trained network of the paper
layers: [block1_pool, block2_pool, block3_pool, block4_pool, block5_pool, fc1, fc2]
reconstruction:                # the paper's: 1000 units, 500 codewords, 1000 batches of 250
  units: 200
  codewords: 100
  batches: 60
  batch-size: 50
  seeds: [0, 1]
measures:                      # each of them once; the autoencoder's own: hidden 100, epochs 20, seeds 0 to 2
  - activation-statistics
  - typicality
  - density
  - {name: autoencoder, hidden: 20, epochs: 10, seeds: [0]}
  - pixels
relate:
  readout: true                # what a linear readout of each layer gets, as an upper mark; 10 folds
report:
  file: report.html
  measures: [distinctiveness, reconstruction_error, typicality, density_nll, autoencoder_error, edge_share]
"""


def write_demo(directory: str | Path, weights: str | Path | None = None) -> Path:
    """Cut the photographs into patches and write them with a study file.

    Parameters
    ----------
    directory
        New or empty folder, or one that an earlier demo made (which is then left as it is).
    weights
        What `model: weights:` of a study may name, such as a weight file of VGG-16 or ``net.onnx``. The study then
        names the layers that the file has; of a network other than VGG-16, up to five, evenly over its depth. None:
        random numbers.

    Returns
    -------
    Path
        The study file.

    Raises
    ------
    InputError
        If the folder holds anything else, or the weights cannot be used.
    """
    directory = Path(directory)
    study, text = directory / "study.yaml", STUDY if weights is None else _with_weights(str(weights))
    if study.exists() and study.read_text(encoding="utf-8") == text:
        return study
    # An interrupted demo leaves only these: they are written again.
    if directory.exists() and (
        not directory.is_dir() or {p.name for p in directory.iterdir()} - {"Images", "scores.csv"}
    ):
        raise InputError(f"{directory} is not an empty folder: name another one for the demo")
    scores = _write_patches(directory / "Images")
    lines = ["image,edge_density", *(f"{number},{value:.6f}" for number, value in scores)]
    (directory / "scores.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    study.write_text(text, encoding="utf-8")
    return study


def _with_weights(weights: str) -> str:
    """The study of the demo with a network of the user's own, at layers that it has."""
    import yaml

    from distspc.datasets.networks import network_settings

    content = yaml.safe_load(STUDY)
    network, _ = network_settings(weights)
    content |= network
    head = "# A demonstration: patches of photographs that scikit-image and scikit-learn ship.\n"
    return head + yaml.safe_dump(content, sort_keys=False)


def photographs() -> Iterator[np.ndarray]:
    """Yield the photographs, uint8 (row, column, 3)."""
    from skimage import color, data, util
    from sklearn.datasets import load_sample_image

    for name in PHOTOGRAPHS:
        photograph = getattr(data, name)()
        photograph = photograph[0] if isinstance(photograph, tuple) else photograph
        photograph = util.img_as_ubyte(photograph)
        yield color.gray2rgb(photograph) if photograph.ndim == 2 else photograph
    for name in SAMPLE_IMAGES:
        yield load_sample_image(name)


def patches(n_per_photograph: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield square patches of every photograph at seeded places and sizes, uint8 (256, 256, 3)."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    for photograph in photographs():
        rows, columns = photograph.shape[:2]
        for _ in range(n_per_photograph):
            side = int(min(rows, columns) * rng.uniform(0.4, 0.75))
            top, left = rng.integers(rows - side + 1), rng.integers(columns - side + 1)
            patch = Image.fromarray(photograph[top : top + side, left : left + side])
            yield np.asarray(patch.resize((PATCH_PIXELS, PATCH_PIXELS), Image.Resampling.LANCZOS))


def _write_patches(folder: Path) -> list[tuple[int, float]]:
    from PIL import Image
    from skimage import color, filters

    for name in ("Targets", "Fillers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    scores: list[tuple[int, float]] = []
    n_fillers = 0
    for i, patch in enumerate(patches(PATCHES_PER_PHOTOGRAPH)):
        if i % PATCHES_PER_PHOTOGRAPH < N_TARGETS_PER_PHOTOGRAPH:
            number = len(scores) + 1
            scores.append((number, float(filters.sobel(color.rgb2gray(patch)).mean())))
            path = folder / "Targets" / f"{number}.jpg"
        else:
            n_fillers += 1
            path = folder / "Fillers" / f"{n_fillers}.jpg"
        Image.fromarray(patch).save(path, quality=90)
    return scores
