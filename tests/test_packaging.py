"""What a release says of itself, and what the wheel holds: every folder, the pages' templates and the profiles."""

import tomllib
from pathlib import Path

import distspc

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_folder_of_the_package_is_in_the_wheel():
    package = ROOT / "distspc"
    folders = {".".join(("distspc", *file.parent.relative_to(package).parts)) for file in package.rglob("__init__.py")}
    assert set(SETTINGS["packages"]) == folders | {"distspc.profiles"}


def test_files_that_are_no_modules_are_in_the_wheel():
    places = {"distspc": ROOT / "distspc"} | {name: ROOT / path for name, path in SETTINGS["package-dir"].items()}
    found = set()
    for package, patterns in SETTINGS["package-data"].items():
        folder = places.get(package, ROOT / package.replace(".", "/"))
        found |= {file for pattern in patterns for file in folder.glob(pattern)}
    wanted = [f for f in (ROOT / "distspc").rglob("*") if f.is_file() and f.suffix not in (".py", ".pyc")]
    assert {*wanted, *(ROOT / "cluster").glob("*.yaml")} <= found


def test_every_folder_says_what_it_is_and_nothing_else():
    for file in (ROOT / "distspc").rglob("*/__init__.py"):
        lines = file.read_text().splitlines()
        assert lines[0].startswith('"""'), file
        assert len(lines) == 1 or file.parent.name == "cli", file
    assert distspc.__doc__


def test_the_light_requirements_are_all_but_tensorflow_with_onnx():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = (ROOT / "requirements-light.txt").read_text().splitlines()[1:]
    plain = [one for one in project["dependencies"] if not one.startswith("tensorflow")]
    assert sorted(listed) == sorted(plain + project["optional-dependencies"]["onnx"])
