"""Each message that the documentation explains is met by somebody who does what leads to it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from distspc.cli.main import main
from distspc.store.access import lock

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
MESSAGES = dict(
    re.findall(r"^## (.+?)\n\n```text\n(.+?)```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
)
"""Messages by the titles of the page."""
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


def black_images(folder: Path) -> None:
    remove("study.zarr")(folder)
    for number in range(1, 25):
        Image.new("RGB", (10, 12)).save(folder / "Images" / "Targets" / f"{number}.png")
    in_study(", fillers: Images/Fillers", "")(folder)


def nothing(folder: Path) -> None:
    """Change nothing."""


RUN = ("run", "study.yaml")
CAUSES: dict[str, tuple[Change, tuple[str, ...]]] = {
    "There is no study file": (nothing, ("run", "study.yml")),
    "Unknown key": (in_study("reconstruction", "reconstuction"), RUN),
    "Invalid value": (in_study("batches: 20", "batches: many"), RUN),
    "Duplicate key": (in_study("store: study.zarr", "store: study.zarr\nstore: other.zarr"), RUN),
    "No YAML": (in_study("[/pool, /fc]", "[/pool, /fc"), RUN),
    "A folder that does not exist": (in_study("Images/Targets", "Images/Target"), RUN),
    "No image in a folder": (empty_folder, RUN),
    "Images that could not be used": (damaged_image, RUN),
    "Made from other images": (remove("Images/Targets/3.png"), RUN),
    "Made with other settings": (in_study("codewords: 6", "codewords: 7"), RUN),
    "A column that is not there": (in_study("[hit]", "[hits]"), RUN),
    "Scores that match no image": (other_names, RUN),
    "A layer that the network does not have": (in_study("/pool, /fc", "/fc9"), RUN),
    "Weights that are not there": (in_study("net.onnx", "no.onnx"), RUN),
    "Not a whole ONNX file": (lambda folder: (folder / "net.onnx").write_text("broken") and None, RUN),
    "There is no profile": (remove("study.zarr"), (*RUN, "--profile", "slurm-gpuu")),
    "No activations yet": (remove("study.zarr"), ("distances", "study.yaml")),
    "More neighbours than images": (too_many_neighbours, RUN),
    "Activations that are all 0": (black_images, RUN),
}
COMPUTE = ("Images that could not be used", "Activations that are all 0")
"""Those that are met while tasks run."""


def test_each_message_has_a_cause():
    assert len(MESSAGES) == 20
    assert {*CAUSES, "The store is in use"} == set(MESSAGES)


@pytest.mark.usefixtures("no_figures")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("title", CAUSES)
def test_a_message_is_met_as_the_page_has_it(title, small_study, scheduler, tmp_path, monkeypatch, capsys):
    change, arguments = CAUSES[title]
    folder = shutil.copytree(small_study, tmp_path / "study")
    change(folder)
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as end:
        main((*arguments, "--profile", scheduler) if title in COMPUTE else arguments)
    assert end.value.code == 2
    assert_on_page(title, capsys.readouterr().err)


def test_a_store_that_is_written_is_in_use(small_study, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(small_study, tmp_path / "study")
    monkeypatch.chdir(folder)
    with lock(folder / "study.zarr"), pytest.raises(SystemExit):
        main(RUN)
    assert_on_page("The store is in use", capsys.readouterr().err)


def assert_on_page(title: str, printed: str) -> None:
    """See that what is printed holds the message of the page, whose `...` stand for anything."""
    parts = (re.escape(" ".join(part.split())) for part in MESSAGES[title].split("..."))
    assert re.search(r"\s?.*?\s?".join(parts), " ".join(printed.split())), printed
