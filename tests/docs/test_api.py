"""The page of the API names all that is public."""

from pathlib import Path

import distspc

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_all_public_names_are_on_the_page():
    listed = {line.strip() for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("   ")}
    assert {name for name in distspc.__all__ if name != "__version__"} <= listed
