"""Tests mirror the tree: every module has its test module."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "distspc"


def test_every_module_has_its_test_module():
    modules = [file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py") if file.name != "__init__.py"]
    wanted = {ROOT / "tests" / file.parent / f"test_{file.name.lstrip('_')}" for file in modules}
    wanted = {file.with_name("test_main.py") if file.name == "test_main__.py" else file for file in wanted}
    missing = sorted(str(file.relative_to(ROOT)) for file in wanted if not file.is_file())
    assert not missing
