"""What a store holds against what a study asks for: other images, other settings, and what is shown."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from distspc import Study
from distspc.cli.main import main
from distspc.errors import StoreMismatchError
from distspc.pipeline.run import run_stages
from distspc.results.authors_layout import export_results
from distspc.results.tidy import tidy_table


def _study(folder, **changes):
    settings = {
        "store": "st.zarr",
        "images": {"targets": "a"},
        "model": {"weights": "random"},
        "layers": ["block1_pool"],
        "reconstruction": {"units": 20, "codewords": 8, "batches": 3, "batch-size": 6},
        "relate": {"bootstrap": 20},
        "scores": {"file": "mem.csv", "image": "image", "columns": ["mem"]},
    }
    content = {**settings, **changes}
    return Study.from_dict({key: value for key, value in content.items() if value is not None}, base=folder)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study of four images that has been run."""
    folder, rng = tmp_path_factory.mktemp("compared"), np.random.default_rng(0)
    for name in "ab":
        (folder / name).mkdir()
        for i in range(1, 7):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / name / f"{name}{i}.png")
    pd.DataFrame({"image": [f"a{i}" for i in range(1, 7)], "mem": rng.random(6)}).to_csv(
        folder / "mem.csv", index=False
    )
    run_stages(_study(folder), lambda _: None)
    return folder


CHANGES = {
    "images": ({"images": {"targets": "b"}}, "made from other images"),
    "metric": ({"distinctiveness": {"metric": "cosine"}}, 'metric was "euclidean", now "cosine"'),
    "preprocessing": ({"model": {"weights": "random", "preprocessing": "caffe"}}, "preprocessing was"),
    "weights": ({"model": {"weights": "random", "seed": 1}}, "weights was"),
    "sparsity": (
        {"reconstruction": {"units": 20, "codewords": 8, "batches": 3, "batch-size": 6, "sparsity": 0.5}},
        "sparsity was 0.001, now 0.5",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_images_or_settings_are_to_do_and_refused_by_every_stage_that_uses_them(done, change):
    changes, told = CHANGES[change]
    study = _study(done, **changes)
    differing = [row for row in study.status() if row.differs]
    assert differing
    assert all(told in row.differs and not row.complete for row in differing)
    assert {"relate", "report"} <= {row.stage for row in differing}
    for stage in ("relate", "report"):
        with pytest.raises(StoreMismatchError, match=re.escape(told)):
            run_stages(study, lambda _: None, stages=[stage])


def test_the_study_itself_and_a_moved_folder_of_the_same_images_are_done(done, tmp_path):
    assert all(row.complete for row in _study(done).status())
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in (done / "a").iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    assert not any(row.differs for row in _study(done, images={"targets": str(moved)}).status())


def test_without_scores_none_are_shown(done, tmp_path):
    study = _study(done, scores=None, report=str(tmp_path / "report.html"))
    run_stages(study, lambda _: None, stages=["report"])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "corrected for attenuation" not in page
    assert "mem" not in pd.read_csv(tmp_path / "tables" / "measures.csv").columns
    assert pd.read_csv(tmp_path / "tables" / "measures.csv").shape[0] == 6
    export_results(study.store, tmp_path / "out", **study.shown)
    assert "mem" not in pd.read_csv(tmp_path / "out" / "results.csv").columns


def test_seeds_and_layers_that_are_not_asked_for_are_not_shown(done):
    both = {"units": 20, "codewords": 8, "batches": 3, "batch-size": 6, "seeds": [0, 1]}
    first = tidy_table(done / "st.zarr", seeds=[0])["reconstruction_error"]
    run_stages(_study(done, reconstruction=both), lambda _: None, stages=["reconstruct"])
    again = tidy_table(done / "st.zarr", **_study(done).shown)
    pd.testing.assert_series_equal(again["reconstruction_error"], first)
    assert not tidy_table(done / "st.zarr")["reconstruction_error"].equals(first)
    assert tidy_table(done / "st.zarr", layers=["fc2"]).empty


def test_options_of_the_other_form_of_relate_are_refused(capsys):
    for arguments, told in (
        (["study.yaml", "--score", "hit", "--method", "spearman"], "--score, --method belong to two tables"),
        (["--measures", "a", "--scores", "b", "--by", "c", "--redo"], "--redo belong to a study"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["relate", *arguments])
        assert stop.value.code == 2
        assert told in capsys.readouterr().err
