"""The command `score`: a table, a page, exit codes and messages."""

import pandas as pd
import pytest

from distspc.cli.commands.score import spread_layers
from distspc.cli.main import main
from tests.scoring.shared import files_of, study_of_files


def run(*arguments):
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def study(tmp_path):
    study = study_of_files(tmp_path)
    study.run(stages=["distances", "reconstruct"])
    (tmp_path / "study.yaml").write_text(
        "store: s.zarr\nactivations: A\nlayers: [fc2, fc1]\n"
        "reconstruction: {units: 9, codewords: 5, batches: 3, batch-size: 8, sparsity: 0.01, seeds: [0, 3]}\n"
    )
    return study


def test_a_table_is_printed_or_written(study, tmp_path, capsys):
    files = files_of(study, ["targets/1", "fillers/2"])
    assert run("score", tmp_path / "study.yaml", *files) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 5
    assert "distinctiveness_percentile" in out
    assert "2 of 2 images are in the study already (copy0 is targets/1, copy1 is fillers/2)" in err
    assert (
        run("score", tmp_path / "study.yaml", *files, "--output", tmp_path / "new.csv", "--layers", "fc1", "fc2") == 0
    )
    table = pd.read_csv(tmp_path / "new.csv")
    assert table["layer"].tolist() == ["fc2", "fc2", "fc1", "fc1"]
    pd.testing.assert_frame_equal(table, study.score(files), check_dtype=False)


def test_files_that_cannot_be_used_are_left_out_and_named(study, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"no image")
    files = [*files_of(study, ["targets/1"]), tmp_path / "bad.png", tmp_path / "gone.png"]
    assert run("score", tmp_path / "study.yaml", *files, "--output", tmp_path / "new.csv") == 2
    err = capsys.readouterr().err
    assert f"skipped: {tmp_path / 'gone.png'}: does not exist" in err
    assert "2 images could not be used; all others have their rows." in err
    assert pd.read_csv(tmp_path / "new.csv")["image"].unique().tolist() == ["copy0"]


def test_places_that_cannot_be_written_are_refused_first(study, tmp_path, capsys):
    assert run("score", tmp_path / "study.yaml", tmp_path, "--output", tmp_path) == 2
    assert f"--output {tmp_path} is a folder" in capsys.readouterr().err
    assert run("score", tmp_path / "study.yaml", tmp_path, "--report", tmp_path / "no" / "a.html") == 2
    assert "there is no folder" in capsys.readouterr().err


def test_layers_are_named_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    assert spread_layers(["s.yaml", "--layers", "a", "b", "new", "c"]) == [
        "s.yaml", "--layers", "a", "--layers", "b", "new", "c"
    ]  # fmt: skip
