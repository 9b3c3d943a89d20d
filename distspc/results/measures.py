"""Names of the measures, and tables with a column for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from distspc.layers import by_model, layer_label, layer_order, models_of, split_layer
from distspc.measures.registry import COLUMNS, IMAGE_COLUMNS
from distspc.measures.registry import MEASURES as FURTHER

if TYPE_CHECKING:
    import pandas as pd

MEASURES: dict[str, str] = {
    "distinctiveness": "distinctiveness",
    "reconstruction_error": "reconstruction error",
    "norm": "L2 norm",
    "mean_distance": "mean distance to the nearest neighbours",
    "pool_distance": "mean distance to all other images",
    **{name: column.words for name, column in COLUMNS.items()},
}
"""Measures of an image by column of the tidy table, with their names in words: the single list of them."""

FIRST_COLUMNS = tuple(measure.columns[0].name for measure in FURTHER.values() if measure.needs == "activations")
"""The column of each further measure of activations that stands for it in figures where none is chosen."""

SEEDED = ("reconstruction_error", *(name for name, column in COLUMNS.items() if column.by_seed))
"""Measures that are means over seeds."""

OWN_COLUMNS = (
    *("image", "file", "layer", "neighbour", *MEASURES),
    *(f"{measure}_{name}" for measure in SEEDED for name in ("sd", "icc", "reliability")),
)
"""Columns that a tidy table may have beside the scores."""

MODEL_MEASURES = ("distinctiveness", "reconstruction_error", "norm")
"""Measures of a layer that are controlled for one another, predict scores together, and stand in figures and text."""


HEADLINE = {"distinctiveness": "block5_pool", "reconstruction_error": "fc2"}
"""The layers that the paper reports these measures at; used for scatter plots and galleries where a study has them."""


def headline_layers(measure: str, layers: Sequence[str]) -> list[str]:
    """The layer of each network that is shown for a measure: the paper's where it has that, else the highest."""
    wanted = HEADLINE.get(measure, "fc2")
    labels = {layer_label(wanted, model): own for model, own in by_model(layers).items()}
    return [label if label in own else layer_order(own)[-1] for label, own in labels.items()]


def zero_order_rows(relations: pd.DataFrame, *, method: str | None = "pearson") -> pd.DataFrame:
    """Correlations that control for nothing; of every method where none is named."""
    rows = relations[relations["given"] == ""]
    return rows if method is None else rows[rows["method"] == method]


def partial_rows(relations: pd.DataFrame, *, method: str | None = "pearson") -> pd.DataFrame:
    """Correlations that control for other measures; of every method where none is named."""
    rows = relations[relations["given"] != ""]
    return rows if method is None else rows[rows["method"] == method]


def measures_of(table: pd.DataFrame) -> list[str]:
    """Names of the measures that a tidy table has."""
    return [name for name in MEASURES if name in table.columns and table[name].notna().any()]


Pair = tuple[str, str]
"""A measure and its layer."""


def column_label(column: str | Pair) -> str:
    """A column's name as text: ``measure:layer`` of a pair, as the study file, the store and files have it.

    >>> column_label(("norm", "fc2")), column_label(("edge_share", "")), column_label("hit")
    ('norm:fc2', 'edge_share', 'hit')
    """
    return column if isinstance(column, str) else ":".join(filter(None, column))


def split_label(label: str) -> Pair:
    """Measure and layer of a label such as ``norm:fc2``; the layer is empty where there is none."""
    measure, _, layer = label.partition(":")
    return measure, layer


def controls_of(relations: pd.DataFrame) -> list[list[Pair]]:
    """What each correlation controls for, as pairs of measure and layer; a store keeps their labels."""
    return [[split_label(label) for label in given.split(", ") if label] for given in relations["given"]]


def with_models(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as people read it: of several networks, column ``model`` beside the layers' own names.

    Parameters
    ----------
    table
        A table with a column ``layer`` of labels.

    Returns
    -------
    DataFrame
        The same rows; the table itself where its layers are of one network.
    """
    labels = [str(label) for label in table["layer"]]
    if not models_of(labels):
        return table
    own, models = zip(*map(split_layer, labels), strict=True)
    shown = table.rename(columns={"model": "score:model"}).assign(layer=own)
    shown.insert(list(shown.columns).index("layer"), "model", models)
    return shown


def with_labels(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `with_models` with the labels of its layers again, without column ``model``."""
    if not {"model", "layer"} <= set(table.columns):
        return table
    pairs = zip(table["layer"].astype(str), table["model"].fillna("").astype(str), strict=True)
    return table.assign(layer=[layer_label(*pair) for pair in pairs]).drop(columns="model")


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per target, and a column (measure, layer) for each measure and layer that has values.

    Measures of the image itself, which a tidy table has in the rows of every layer, have the layer "".
    """
    import pandas as pd

    wide = {}
    order = pd.Index(dict.fromkeys(table["image"]), name="image")
    for layer in layer_order(list(table["layer"])):
        part = table[table["layer"] == layer].set_index("image")
        for name in measures_of(part):
            if name not in IMAGE_COLUMNS:
                wide[name, layer] = part[name].reindex(order)
    first = table.drop_duplicates("image").set_index("image")
    wide |= {(name, ""): first[name] for name in measures_of(first) if name in IMAGE_COLUMNS}
    columns = pd.MultiIndex.from_tuples(list(wide), names=["measure", "layer"])
    return pd.DataFrame({column_label(pair): values for pair, values in wide.items()}, index=order).set_axis(
        columns, axis=1
    )


def pairs_of(wide: pd.DataFrame) -> list[Pair]:
    """Measure and layer of each column of a wide table."""
    return [(str(pair[0]), str(pair[1])) for pair in wide.columns.to_flat_index()]


def flat_table(wide: pd.DataFrame) -> pd.DataFrame:
    """A wide table with columns ``measure:layer``, for functions of any table."""
    return wide.set_axis([*map(column_label, pairs_of(wide))], axis=1)
