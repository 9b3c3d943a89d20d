"""Images at the ends of a measure, as thumbnails for the report: people look."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from distspc.layers import models_of
from distspc.results.measures import headline_layers
from distspc.results.numbers import format_quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from distspc.results.plot.axes import GalleryImage


log = logging.getLogger(__name__)

N_EXTREMES = 6
"""Images shown at each end of a measure."""

ENDS = {
    "distinctiveness": ("Most distinctive", "Least distinctive"),
    "reconstruction_error": ("Hardest to reconstruct", "Easiest to reconstruct"),
}
"""Titles of the two ends of each measure that has galleries: large values, small values."""

_THUMBNAIL = 176  # pixels


@dataclass
class GalleryItem:
    """An image of a gallery: its thumbnail (data URI, empty where the file is not found) and what stands under it."""

    name: str
    source: str
    text: str = ""


@dataclass
class Gallery:
    """Images at one end of a measure, each with its nearest neighbour where that is known."""

    title: str
    rows: list[tuple[GalleryItem, GalleryItem | None]]
    name: str = ""
    files: tuple[str, ...] = ()

    @property
    def has_pictures(self) -> bool:
        """Whether any image of it could be read."""
        return any(shown is not None and shown.source for row in self.rows for shown in row)


def find_extremes(table: pd.DataFrame, images: pd.DataFrame) -> list[Gallery]:
    """Return the galleries of a study: both ends of distinctiveness and of reconstruction error.

    Parameters
    ----------
    table
        Tidy table.
    images
        Image table, for the files.
    """
    files = dict(zip(images["image"], images["file"], strict=True))
    made: list[Gallery] = []
    for measure in (name for name in ENDS if name in table.columns and table[name].notna().any()):
        known = table.dropna(subset=[measure])
        for layer in headline_layers(measure, list(dict.fromkeys(known["layer"]))):
            made += _ends(known[known["layer"] == layer], measure, layer, files)
    return [gallery for gallery in made if gallery.rows]


def ends_at(table: pd.DataFrame, measure: str, layer: str, images: pd.DataFrame) -> list[Gallery]:
    """Both ends of a measure at one layer, large values first.

    Parameters
    ----------
    table
        Rows of the tidy table at this layer.
    measure
        Column: a key of `ENDS`.
    layer
        The layer's name.
    images
        Image table, for the files.
    """
    files = dict(zip(images["image"], images["file"], strict=True))
    return list(_ends(table.dropna(subset=[measure]), measure, layer, files))


def _ends(table: pd.DataFrame, measure: str, layer: str, files: Mapping[str, str]) -> Iterator[Gallery]:
    """Both ends of a measure at one layer."""
    ordered = table.sort_values(measure, kind="stable")
    n = min(N_EXTREMES, len(ordered) // 2)
    for title, rows in zip(ENDS[measure], (ordered.iloc[::-1][:n], ordered[:n]), strict=True):
        beside = measure == "distinctiveness" and "neighbour" in rows.columns
        name = "_".join([title.lower().replace(" ", "_"), *models_of([layer])])
        yield Gallery(f"{title} ({layer})", list(_gallery_rows(rows, measure, files, beside)), name)


def _gallery_rows(
    rows: pd.DataFrame, measure: str, files: Mapping[str, str], beside: bool
) -> Iterator[tuple[GalleryItem, GalleryItem | None]]:
    for row in rows.to_dict("records"):
        target = GalleryItem(str(row["image"]), thumbnail(files.get(row["image"], "")), format_quantity(row[measure]))
        other = str(row.get("neighbour") or "") if beside else ""
        yield target, GalleryItem(other, thumbnail(files.get(other, ""))) if other else None


def thumbnail(file: str) -> str:
    """Small JPEG of an image file as data URI; empty where the file is not found or cannot be read."""
    from PIL import Image

    from distspc.images.decoding import decode_image

    try:
        image = Image.fromarray(decode_image(Path(file)))
    except (OSError, ValueError) as error:
        log.debug("no thumbnail of %s: %s", file, error)
        return ""
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=72, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def draw(gallery: Gallery) -> Figure:
    """Draw a gallery as a figure: targets in a row, or each with its nearest neighbour below it."""
    from distspc.results.plot.figures import gallery as figure_of

    return figure_of(pictures(gallery), title=gallery.title)


def pictures(gallery: Gallery) -> list[list[GalleryImage]]:
    """Rows of images of a gallery, with what stands under each."""
    from distspc.results.plot.axes import GalleryImage

    def picture(shown: GalleryItem | None) -> GalleryImage:
        if shown is None:
            return GalleryImage(None, "")
        return GalleryImage(_pixels(shown.source), f"{shown.name}\n{shown.text or 'nearest'}")

    rows = [[picture(target) for target, _ in gallery.rows]]
    if gallery.rows and gallery.rows[0][1]:
        rows.append([picture(neighbour) for _, neighbour in gallery.rows])
    return rows


def _pixels(source: str) -> np.ndarray | None:
    from PIL import Image

    if not source:
        return None
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"))


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as a URI that a page can hold."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
