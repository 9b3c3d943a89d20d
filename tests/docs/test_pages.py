"""What stands in code on the pages is what the program takes, and examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

import distspc
from distspc.cli.main import app
from distspc.study.file import StudyFile

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
COMMANDS = [
    (page, line.strip())
    for page, text in PAGES.items()
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if re.search(r"(^|/|\s)distspc\s", line)
]
STUDIES = [(page, block) for page, text in PAGES.items() for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_has_the_options_that_are_shown(page, line):
    arguments = shlex.split(line[line.index("distspc") :], comments=True)[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert arguments[0] in command.commands, f"{page}: {line}"
        command = command.commands[arguments.pop(0)]
    with command.make_context("distspc", arguments, resilient_parsing=True) as context:
        options = {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts}
        assert {word.split("=")[0] for word in arguments if word.startswith("--")} <= options
        assert context.command is command


@pytest.mark.parametrize(("page", "block"), STUDIES)
def test_a_piece_of_a_study_file_can_be_read(page, block):
    content = yaml.safe_load(block)
    study = {
        "store": "study.zarr",
        "images": {"targets": "Images/Targets"},
        "model": {"weights": "net.onnx"},
        **content,
    }
    if "models" in content:
        del study["model"]
    assert StudyFile.from_dict(study).store.name.endswith(".zarr")


@pytest.mark.parametrize("module", [m.name for m in pkgutil.walk_packages(distspc.__path__, "distspc.")])
def test_examples_in_docstrings_give_what_they_say(module):
    source = Path(*module.split("."))
    root = DOCS.parent
    file = next((f for f in (root / source.with_suffix(".py"), root / source / "__init__.py") if f.exists()), None)
    if file is None or ">>>" not in file.read_text(encoding="utf-8"):
        return
    found = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0
