"""A small study for the pages whose commands are run: photographs of noise, a small network in an ONNX file, scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

STUDY = """\
store: study.zarr
images: {targets: Images/Targets, fillers: Images/Fillers}
scores: {file: scores.csv, image: image, columns: [hit]}
model: {weights: net.onnx, batch-size: 4}
layers: [/pool, /fc]
reconstruction: {units: 8, codewords: 6, batches: 20, batch-size: 8}
relate: {bootstrap: 100}
"""


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study that is done, `new/beach.png`, and two tables."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from distspc.pipeline.run import Study

    folder = tmp_path_factory.mktemp("documentation")
    _write_network(folder / "net.onnx")
    rng = np.random.default_rng(0)
    for name, n in (("Images/Targets", 24), ("Images/Fillers", 8), ("new", 1)):
        (folder / name).mkdir(parents=True)
        for number in range(1, n + 1):
            pixels = rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / ("beach.png" if name == "new" else f"{number}.png"))
    _write_tables(folder, rng)
    (folder / "study.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        _draw_nothing(patch)
        Study.from_file(folder / "study.yaml").run()
    return folder


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """Address of a scheduler with a worker in this process: no command waits for processes to start.

    It ends with its module: the threads of BLAS cannot be set beside it.
    """
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report without its figures."""
    _draw_nothing(monkeypatch)


def _draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Write no figures: they take most of the time of so small a study, and have tests of their own."""
    patch.setattr("distspc.report.page.write_report", lambda store, path, **shown: path.write_text("a report"))


def _write_tables(folder: Path, rng: np.random.Generator) -> None:
    """Scores, a measure, responses of twelve subjects, and the images as a table with a category."""
    numbers = np.arange(1, 25)
    tables = {
        "scores": pd.DataFrame({"image": numbers, "hit": rng.normal(size=24).round(3)}),
        "measures": pd.DataFrame({"image": numbers, "measure": rng.normal(size=24)}),
        "responses": pd.DataFrame(
            [(who, number, who % 2, int(rng.random() < 0.5)) for who in range(12) for number in numbers],
            columns=["subject", "image", "old", "response"],
        ),
        "images": pd.DataFrame(
            {
                "path": [f"Images/Targets/{n}.png" for n in numbers] + [f"Images/Fillers/{n}.png" for n in range(1, 9)],
                "role": ["target"] * 24 + ["filler"] * 8,
                "category": ["indoor", "outdoor"] * 16,
            }
        ),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)


def _write_network(path: Path) -> None:
    from distspc.testing.onnx_vgg16 import write_vgg16

    rng = np.random.default_rng(0)
    shapes = {"conv1": (3, 3, 3, 4), "conv2": (3, 3, 4, 5), "fc": (6 * 5 * 5, 8), "predictions": (8, 6)}
    weights = {
        name: (rng.normal(size=shape).astype("f4") / 9, np.zeros(shape[-1], "f4")) for name, shape in shapes.items()
    }
    layers = ["conv1", "conv2", "pool", "flatten", "fc", "predictions"]
    write_vgg16(path, weights, layers=layers, input_shape=("n", 3, 12, 10))
