"""Every key of the study file says in its source what it is, for the page that lists them."""

import ast
import importlib
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "distspc" / "study" / "file.py"
NO_SECTIONS = {"_Settings", "Shown"}


def test_every_key_is_described():
    classes = [node for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    bare = [
        f"{one.name}.{field.target.id}"
        for one in classes
        if one.name not in NO_SECTIONS
        for field, text in zip(one.body, [*one.body[1:], None], strict=True)
        if isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field.annotation)
        if not (isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant))
    ]
    assert len(classes) > 10
    assert not bare


@pytest.mark.parametrize("table", ["study_keys", "data_sets", "measures", "store_variables", "profiles"])
def test_a_table_is_made_from_the_program(table, monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(SOURCE.parents[2] / "docs" / "extensions"))
    lines = getattr(importlib.import_module("generated_tables"), table)().splitlines()
    assert sum(line.startswith("| `") for line in lines) >= 4
