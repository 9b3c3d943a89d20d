"""Tables of images to select from: of a data frame, of two files, or of a study's store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from distspc.distances.options import LayerOptions
from distspc.distances.reading import Reader
from distspc.errors import InputError
from distspc.io.columns import need_columns, pick_columns, read_table, to_numbers
from distspc.io.files import irregularity, os_reason
from distspc.layers import layer_order
from distspc.messages import counted, did_you_mean, shorten
from distspc.results.measures import OWN_COLUMNS, flat_table, wide_table, with_labels
from distspc.results.tidy import image_table, labelled_table
from distspc.selection.matching.near_duplicates import Distances
from distspc.store.format.schema import StorePath
from distspc.store.store import Store


def as_image_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a row per image, by its name; measures of layers are in columns ``measure:layer``.

    Layers of several networks (column ``model`` beside ``layer``) are ``layer@model`` there.

    Raises
    ------
    InputError
        If an image has several rows and there is no column ``layer``.
    """
    if isinstance(table.columns, pd.MultiIndex):
        table = flat_table(table)
    if "image" not in table.columns:
        return _unique(table.set_axis(table.index.map(str), axis=0))
    table = with_labels(table.assign(image=table["image"].map(str)))
    if "layer" not in table.columns:
        return _unique(table.set_index("image"))
    wide = flat_table(wide_table(table))
    for layer in layer_order(list(table["layer"])):
        part = table[table["layer"] == layer].set_index("image")
        if "neighbour" in part.columns:
            wide[f"neighbour:{layer}"] = part["neighbour"].reindex(wide.index)
    of_images = table.drop_duplicates("image").set_index("image")
    others = [name for name in of_images.columns if name == "file" or name not in OWN_COLUMNS]
    return wide.join(of_images[others])


def _unique(table: pd.DataFrame) -> pd.DataFrame:
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise InputError(
            f"the table has more than one row for {shorten(twice.unique())}: give it a row per image, "
            "or a column 'layer' beside 'image'"
        )
    return table


def read_image_table(measures: str | Path, scores: str | Path | None, image: str) -> pd.DataFrame:
    """Read a table of measures, and beside it one of scores where there is one.

    Parameters
    ----------
    measures, scores
        Delimited files with a header, as `relate_tables` takes them.
    image
        Column that names the image in both; ``"A=B"`` if it is A among the measures and B among the scores.

    Raises
    ------
    InputError
        For files and columns that cannot be used, and tables that have no image in common.
    """
    left, _, right = image.partition("=")
    found = as_image_table(_read(measures, "measures", left))
    if scores is None:
        return found
    others = as_image_table(_read(scores, "scores", right or left))
    joined = found.join(others[[name for name in others.columns if name not in found.columns]], how="inner")
    if joined.empty:
        raise InputError(
            f"measures {measures} and scores {scores} have no image in common: "
            f"{shorten(found.index, most=3)} against {shorten(others.index, most=3)}; name the columns with --image A=B"
        )
    return joined


def _read(file: str | Path, what: str, image: str) -> pd.DataFrame:
    """A table with numbers where numbers are meant, text elsewhere, and the image's name in ``image``."""
    text, where = read_table(file, what=what), f"{what} {file}"
    need_columns(text, [image], where=where)
    numbers, _ = pick_columns(text, but=[image], where=where, missing=())
    table = text.assign(**{name: to_numbers(text[name], where=where) for name in numbers})
    return table.rename(columns={image: "image"})


def study_table(store: StorePath) -> pd.DataFrame:
    """Return the targets of a store: measures by layer, nearest neighbours, scores, and what the image table says."""
    store = Store(store)
    table, images = as_image_table(labelled_table(store)), image_table(store).set_index("image")
    if not len(table.columns):
        raise InputError(f"{store} has no measures yet: run `distspc distances` or `distspc reconstruct` first")
    return table.join(images[[name for name in images.columns if name not in table.columns]])


def fillers_of(store: StorePath) -> pd.DataFrame:
    """Return names and files of the fillers of a store."""
    images = image_table(Store(store))
    return images[images["role"] != "target"].set_index("image")[["file"]]


def listed_images(file: str | Path, table: pd.DataFrame, option: str) -> list[str]:
    """Return the images that a file names, a line each, by id, file, file name or stem.

    Raises
    ------
    InputError
        If the file cannot be read, or a line names no image, or more than one.
    """
    lines, names = [line.strip() for line in _text_of(Path(file), option).splitlines()], _names_of(table)
    found: list[str] = []
    for line in (line for line in lines if line):
        images = names.get(line, set())
        if len(images) != 1:
            what = f"{line!r} names {counted(len(images), 'image')}" if images else f"no image is called {line!r}"
            raise InputError(f"{option} {file}: {what}; {did_you_mean(line, names)}images are called as "
                             f"{shorten(table.index, most=3)}")  # fmt: skip
        found += images
    return list(dict.fromkeys(found))


def _text_of(path: Path, option: str) -> str:
    try:
        reason = irregularity(path.stat())
        if not reason:
            return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        reason = "there is no such file"
    except OSError as error:
        reason = os_reason(error)
    except UnicodeDecodeError:
        reason = "is not text in UTF-8"
    raise InputError(f"{option} {path}: {reason}; name a text file with the names of images, a line each")


def _names_of(table: pd.DataFrame) -> dict[str, set[str]]:
    """Images by everything that may name them; an image's own id is nobody else's name."""
    names: dict[str, set[str]] = {}
    files = table["file"] if "file" in table.columns else pd.Series("", index=table.index)
    for image, file in files.items():
        path = Path(str(file))
        for name in {str(file), path.name, path.stem} - {""}:
            names.setdefault(name, set()).add(str(image))
    return names | {str(image): {str(image)} for image in table.index}


def read_trial_data(file: str | Path) -> pd.DataFrame:
    """Read a table of trials: subject, image, correct and whatever else."""
    return read_table(file, what="trial data")


def activation_distances(store: StorePath) -> Distances | None:
    """Return `measured_distances` where the store holds activations."""
    return measured_distances(store) if Store(store).layers() else None


def measured_distances(store: StorePath) -> Distances:
    """Return what measures distances between images by the activations of a store, as its distances were measured."""
    store = Store(store)
    at = {str(name): i for i, name in enumerate(store.images.labels("image"))}
    recipe = store.distances.attributes.get("recipe", {}) if store.distances.exists() else {}
    settings = {name: recipe[name] for name in ("metric", "scaling") if name in recipe}

    def measure(layer: str, images: Sequence[str]) -> np.ndarray:
        from scipy.spatial.distance import pdist, squareform

        options = LayerOptions(store=store, layer=layer, **settings)
        read = Reader(options, (0, store.layer(layer).sizes["feature"]))
        rows = read(np.array([at[name] for name in images])).astype(np.float64)
        return np.asarray(squareform(pdist(rows, options.metric)))

    return measure
