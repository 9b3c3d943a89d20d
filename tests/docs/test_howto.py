"""The tasks of the documentation are run as they stand, and have the effect that they are for."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import yaml

import distspc
from distspc.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "howto.md"
TASKS = dict(
    re.findall(r"^## \.\.\. (.+?)\?\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
)
ALTERNATIVES = {"models": ("model", "layers")}
"""Keys of the study file that go where another comes."""


def results(folder: Path) -> distspc.Results:
    return distspc.Study.from_file(folder / "study.yaml").results()


def layers(folder: Path) -> list[str]:
    return results(folder)["distances"]["layer"].to_numpy().tolist()


def relations(folder: Path) -> pd.DataFrame:
    return results(folder)["relations"].to_dataset().to_dataframe()


Effect = Callable[[Path, str], bool]
EFFECTS: dict[str, Effect] = {
    "take another network": lambda folder, out: "MaxPool" in out and layers(folder) == ["/fc"],
    "compare several networks": lambda folder, out: set(layers(folder)) == {"/fc@first", "/fc@raw"},
    "take only two layers, or one more": lambda folder, out: "/conv2" in layers(folder),
    "do one stage alone": lambda folder, out: "Done: reconstruct" in out,
    "add images": lambda folder, out: results(folder).images.sizes["image"] == 33,
    "score a new image": lambda folder, out: "distinctiveness" in pd.read_csv(folder / "new.csv"),
    "use several seeds": lambda folder, out: results(folder)["reconstruction"].sizes["seed"] == 3,
    "look within categories": lambda folder, out: (
        {"indoor", "outdoor"} <= set(results(folder)["within"].to_dataset().to_dataframe()["category"])
    ),
    "get from trials to a noise ceiling": lambda folder, out: "ceiling" in relations(folder),
    "correlate any two tables": lambda folder, out: "measure" in out and "hit" in out,
    "choose stimuli for an experiment": lambda folder, out: len(pd.read_csv(folder / "stimuli/stimuli.csv")) == 8,
    "export to R, MATLAB or a spreadsheet": lambda folder, out: (
        len(pd.read_csv(folder / "export/results.csv")) == 48 and (folder / "study.nc").exists()
    ),
    "read results in pandas and xarray": lambda folder, out: True,
    "make a figure of my own": lambda folder, out: (folder / "mine.pdf").stat().st_size > 1000,
    "do without Dask's cluster": lambda folder, out: layers(folder) == ["/pool", "/fc"],
    "go on after a stop": lambda folder, out: "report" in out,
    "free disk": lambda folder, out: not (folder / "study.zarr/activations/fc").exists(),
    "move a study": lambda folder, out: (folder.parent / "archive/study.zarr").is_dir() and not folder.exists(),
    "find out why it is slow": lambda folder, out: "extract" in out,
    "understand an error": lambda folder, out: "scores" in out and "network" in out,
}


def test_there_are_twenty_tasks():
    assert list(TASKS) == list(EFFECTS)
    assert len(TASKS) == 20


@pytest.mark.usefixtures("no_figures")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("task", TASKS)
def test_a_task_does_what_it_is_for(task, small_study, scheduler, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(small_study, tmp_path / "study")
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```(bash|python|yaml)\n(.*?)```", TASKS[task], re.DOTALL)
    assert blocks
    do = {"bash": partial(run_lines, scheduler=scheduler), "python": run_code, "yaml": change_study}
    for language, code in blocks:
        do[language](code)
    assert EFFECTS[task](folder, capsys.readouterr().out)


def run_code(code: str) -> None:
    exec(compile(code, str(PAGE), "exec"), {"__name__": "__main__"})


def run_lines(code: str, scheduler: str) -> None:
    """Run commands, on a scheduler that is there; those beside `distspc` as this process, so that `cd` lasts."""
    beside = {"cd": os.chdir, "cp": shutil.copy, "mv": shutil.move}
    for line in code.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        if program == "distspc":
            where = ["--profile", scheduler] if arguments[0] in ("run", "reconstruct") else []
            assert exit_code([*arguments, *where]) == 0, line
        else:
            beside[program](*arguments)


def change_study(code: str) -> None:
    """Put keys into the study file: settings beside others of their section, but images and scores as a whole."""
    study = yaml.safe_load(Path("study.yaml").read_text(encoding="utf-8"))
    for key, value in yaml.safe_load(code).items():
        beside = study.get(key) if isinstance(value, dict) and key not in ("images", "scores") else None
        study[key] = {**(beside or {}), **value} if isinstance(value, dict) else value
        for other in ALTERNATIVES.get(key, ()):
            study.pop(other, None)
    Path("study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")


def exit_code(arguments: list[str]) -> int:
    """Exit code of a command."""
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
