"""The list of changes that the tests are tried with is not out of date."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "mutations.py"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def test_every_line_that_is_changed_is_there_once_and_becomes_another(script):
    mutations = script["listed"]()
    assert len(mutations) > 100
    assert all(m.old != m.new for m in mutations)
    assert len({m.key for m in mutations}) == len(mutations)
    missing = {name for m in mutations for name in m.tests if not (SCRIPT.parents[1] / name.split("::")[0]).exists()}
    assert not missing


def test_a_line_that_is_gone_is_told_with_its_file(script, tmp_path):
    path = tmp_path / "list.toml"
    path.write_text('[[part]]\nfile = "distspc/errors.py"\ntests = []\nchanges = [["no such line", "x"]]\n')
    with pytest.raises(ValueError, match=r"distspc/errors.py: 'no such line' -> 'x' \(0 times\)"):
        script["listed"](path)
