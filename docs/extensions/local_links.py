"""See that links to pages, files and places of the finished site lead there, and that no page needs a network."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx

OF_SPHINX = ("_static", "_modules")
RELATIONS = ("index", "search", "next", "prev", "canonical")
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src")}


class Page(HTMLParser):
    """The links of a page, what it loads, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take a tag's links and place."""
        given = dict(attributes)
        self.places |= {value for name in ("id", "name") if (value := given.get(name))}
        for name in ("href", "src"):
            value = given.get(name)
            if (
                value
                and (tag, name) in LOADED
                and given.get("rel") not in ("index", "search", "next", "prev", "canonical")
            ):
                self.loaded.append(value)
            if value:
                self.links.append(value)


def problems(folder: Path) -> list[str]:
    """Links of the pages of a folder that lead nowhere, and what pages load from elsewhere."""
    paths = [path for path in sorted(folder.rglob("*.html")) if path.relative_to(folder).parts[0] not in OF_SPHINX]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        found += [f"{name} loads {one}" for one in page.loaded if urlsplit(one).netloc]
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                found.append(f"{name} links to {link}, which is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                found.append(f"{name} links to {link}, a place that is not there")
    return found


def _check(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        for one in problems(Path(app.outdir)):
            logging.getLogger(__name__).warning(one)


def setup(app: Sphinx) -> dict[str, Any]:
    """Look when all pages are written."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
