"""How the documentation is built: `sphinx-build -W docs docs/_build/html`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import distspc

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
DEMO = HERE.parent / "demo"
sys.path.insert(0, str(HERE / "extensions"))

project = "distspc"
author = "the distspc developers"
release = distspc.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "generated_tables",
]
exclude_patterns = ["_build", "extensions"]
html_theme = "pydata_sphinx_theme"
html_title = "distspc"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
html_sidebars: dict[str, list[str]] = {"**": []}
html_extra_path = ["_extra"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300

autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autodoc_typehints = "none"
autodoc_default_options = {"members": True}


def make_demo(app: Sphinx) -> None:
    """Run the demo where it is not there, for the pages that show its results; its report becomes part of the site."""
    if not (DEMO / "report.html").exists():
        subprocess.run([sys.executable, "-m", "distspc", "demo", str(DEMO)], check=True)
    extra = HERE / "_extra"
    extra.mkdir(exist_ok=True)
    (extra / "demo.html").write_bytes((DEMO / "report.html").read_bytes())


def setup(app: Sphinx) -> dict[str, Any]:
    """Make what the pages rest on."""
    make_demo(app)
    return {"parallel_read_safe": False}
