"""What the tests of this folder share."""

import numpy as np
import pandas as pd
from PIL import Image

from distspc.memorability.relations import relate
from distspc.results.plot import figures
from distspc.results.tidy import labelled_table
from distspc.store.store import Store
from distspc.testing import stores

LAYERS = ["block5_pool", "fc2"]


N_TARGETS, N_FILLERS = 24, 6


SPACE = "\N{NO-BREAK SPACE}"


def make_study(folder, *, pictures=True, scores=True, weights="sha256:" + "ab" * 32, layers=LAYERS):
    """A finished study with random measures."""
    ids, path = stores.image_ids(N_TARGETS, N_FILLERS), folder / "study.zarr"
    stores.write_image_table(path, ids, N_TARGETS)
    Store(path).images.write("file", [str(folder / f"{name}.jpg") for name in ids])
    stores.write_measures(path, ids, N_TARGETS, layers, seeds=(0, 1))
    recipe = {"architecture": "vgg16", "weights": weights, "preprocessing": "raw"}
    coords = {"image": ids, "feature": 2}
    Store(path).layer(layers[-1]).allocate(coords=coords, chunks={}, recipe=recipe)
    if pictures:
        rng = np.random.default_rng(0)
        for name in ids:
            (folder / name).parent.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / f"{name}.jpg")
    if scores:
        table = pd.DataFrame({"im": range(1, N_TARGETS + 1)})
        tidy = labelled_table(path)
        strength = tidy.loc[tidy["layer"] == layers[-1], "reconstruction_error"].rank(pct=True).to_numpy()
        table["corrected_hit"] = 0.2 + strength / 2
        table["fa"] = np.random.default_rng(1).random(N_TARGETS) / 5
        table.to_csv(folder / "scores.csv", index=False)
        relate(path, scores_file=folder / "scores.csv", image_column="im", n_bootstrap=100)
    return path


def plain(sentence):
    return sentence.replace(SPACE, " ")


ALL_LAYERS = ["block1_pool", "block5_pool", "fc2"]


def relations():
    rows = [
        {"layer": layer, "measure": measure, "score": "hit", "given": "", "method": "pearson", "n": n, "r": r,
         "ci_low": r - 0.1, "ci_high": r + 0.1}
        for n, (layer, r) in enumerate(zip(ALL_LAYERS, (0.1, 0.3, -0.2), strict=True), start=2220)
        for measure in ("distinctiveness", "reconstruction_error", "norm")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def tidy(n=40):
    rng = np.random.default_rng(0)
    parts = [pd.DataFrame({"image": [f"targets/{i}" for i in range(n)], "layer": layer}) for layer in ALL_LAYERS]
    table = pd.concat(parts, ignore_index=True)
    return table.assign(
        distinctiveness=rng.exponential(size=len(table)),
        reconstruction_error=rng.random(len(table)),
        hit=rng.random(len(table)),
    )


def wide(n=30):
    pairs = [(measure, layer) for layer in ALL_LAYERS for measure in ("distinctiveness", "norm")]
    columns = pd.MultiIndex.from_tuples(pairs, names=["measure", "layer"])
    return pd.DataFrame(np.random.default_rng(0).normal(size=(n, len(pairs))), columns=columns)


PIXELS = np.zeros((8, 8, 3), np.uint8)


DRAW = {
    "correlation": lambda: figures.correlation_by_layer(relations(), "hit"),
    "scatter": lambda: figures.scatter(tidy(), "distinctiveness", "hit", layer="fc2", note="r = .3"),
    "matrix": lambda: figures.measure_matrix(wide()),
    "reliability": lambda: figures.reliability_over_seeds({"fc2": [0.9, 0.95, 0.93]}, n_seeds=3, n=2222),
    "training": lambda: figures.training_curves({"fc2": 1 / np.arange(1, 41).reshape(2, 20), "fc1": np.ones((2, 20))}),
    "distribution": lambda: figures.distributions(tidy(), "distinctiveness"),
    "gallery": lambda: figures.gallery(
        [[figures.GalleryImage(PIXELS, "1"), figures.GalleryImage(None, "2")]], title="ends"
    ),
}


READOUTS = [
    ("activations", "", "block1_pool", -0.1, -0.02),
    ("activations", "", "block5_pool", 0.5, 0.24),
    ("activations", "", "fc2", 0.4, 0.15),
    ("measures", "distinctiveness:fc2, norm:fc2", "all", 0.35, 0.1),
    ("prediction", "resmem", "", 0.6, np.nan),
]


def readouts(rows=READOUTS, score="hit"):
    """A table of readouts."""
    frame = pd.DataFrame(rows, columns=["kind", "name", "layer", "r", "r2"])
    own = {"score": score, "n": 2222, "n_missing": 0, "penalty": 10.0, "n_folds": 10}
    return frame.assign(ci_low=frame["r"] - 0.04, ci_high=frame["r"] + 0.04, **own)
