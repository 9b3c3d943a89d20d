"""Each message that the documentation explains is met by somebody who does what leads to it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distspc.cli.main import main
from distspc.kernels.sparse_coding.scaling import scale_quantile
from distspc.store.access import lock

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
MESSAGES = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
Change = Callable[[Path], None]


def in_study(old: str, new: str) -> Change:
    """Replace text of the study file."""

    def change(folder: Path) -> None:
        study = folder / "study.yaml"
        text = study.read_text()
        assert old in text
        study.write_text(text.replace(old, new, 1))

    return change


def remove(name: str) -> Change:
    return lambda folder: shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


def empty_folder(folder: Path) -> None:
    for file in (folder / "Images" / "Targets").iterdir():
        file.unlink()


def too_many_neighbours(folder: Path) -> None:
    remove("study.zarr")(folder)
    in_study("layers:", "distinctiveness: {neighbours: 40}\nlayers:")(folder)


def damaged_image(folder: Path) -> None:
    remove("study.zarr")(folder)
    (folder / "Images" / "Targets" / "3.png").write_text("no image")


def other_names(folder: Path) -> None:
    scores = folder / "scores.csv"
    scores.write_text(re.sub(r"^(\d+),", r"x\1,", scores.read_text(), flags=re.MULTILINE))


def nothing(folder: Path) -> None:
    """Change nothing."""


RUN = ("run", "study.yaml")
CAUSES: dict[str, tuple[Change, tuple[str, ...]]] = {
    "there is no study file": (nothing, ("run", "study.yml")),
    "unknown key; did you mean": (in_study("reconstruction", "reconstuction"), RUN),
    "invalid value": (in_study("batches: 20", "batches: many"), RUN),
    "duplicate key": (in_study("store: study.zarr", "store: study.zarr\nstore: other.zarr"), RUN),
    "cannot be read as YAML": (in_study("[/pool, /fc]", "[/pool, /fc"), RUN),
    "does not exist": (in_study("Images/Targets", "Images/Target"), RUN),
    "holds no image": (empty_folder, RUN),
    "could not be used": (damaged_image, RUN),
    "was made from other images": (remove("Images/Targets/3.png"), RUN),
    "was made with other settings": (in_study("codewords: 6", "codewords: 7"), RUN),
    "has no column": (in_study("[hit]", "[hits]"), RUN),
    "have nothing in common": (other_names, RUN),
    "the network has no layer": (in_study("/pool, /fc", "/fc9"), RUN),
    "there is no such file": (in_study("net.onnx", "no.onnx"), RUN),
    "are not a whole ONNX file": (lambda folder: (folder / "net.onnx").write_text("broken") and None, RUN),
    "there is no profile": (remove("study.zarr"), (*RUN, "--profile", "slurm-gpuu")),
    "has no activations of": (remove("study.zarr"), ("distances", "study.yaml")),
    "neighbours asked for": (too_many_neighbours, RUN),
}


def test_each_message_has_a_cause():
    assert len(MESSAGES) == 20
    assert {*CAUSES, "is in use by process", "percentile of the sampled activations is 0"} == set(MESSAGES)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("message", CAUSES)
def test_a_message_is_met(message, small_study, tmp_path, monkeypatch, capsys):
    change, arguments = CAUSES[message]
    folder = shutil.copytree(small_study, tmp_path / "study")
    change(folder)
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_store_that_is_written_is_in_use(small_study, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(small_study, tmp_path / "study")
    monkeypatch.chdir(folder)
    with lock(folder / "study.zarr"), pytest.raises(SystemExit):
        main(RUN)
    assert "is in use by process" in capsys.readouterr().err


def test_silent_activations_have_no_scale():
    with pytest.raises(ValueError, match="percentile of the sampled activations is 0"):
        scale_quantile(np.zeros((4, 3), np.float32))
