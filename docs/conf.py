"""How the documentation is built: `sphinx-build -W docs docs/_build`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import distspc

HERE = Path(__file__).parent
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
    "demo_study",
    "generated_tables",
    "local_links",
    "mathml",
]
exclude_patterns = [
    "_build",
    "_demo",
    "_links",
    "_weights",
    "_extra",
    "_static",
    "_templates",
    "extensions",
    "jupyter_execute",
]
html_theme = "pydata_sphinx_theme"
html_title = "distspc"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra"]
html_math_renderer = "mathml"
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 3
nb_ipywidgets_js: dict[str, Any] = {}
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300

templates_path = ["_templates"]
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autodoc_typehints = "none"
