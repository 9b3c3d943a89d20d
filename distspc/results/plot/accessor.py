"""The report's figures of a store, for figures of one's own: ``results.plot.correlations("hit", ax=ax)``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from distspc.errors import InputError
from distspc.layers import layer_order
from distspc.messages import did_you_mean
from distspc.results import tidy, training
from distspc.results.measures import headline_layers, measures_of, wide_table, zero_order_rows
from distspc.results.numbers import r_with_interval
from distspc.results.plot import axes as drawing
from distspc.results.plot import figures, galleries
from distspc.results.stored_tables import read_table_of
from distspc.store.format.schema import StorePath
from distspc.store.store import Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _new_figure(**kwargs: Any) -> Figure:
    """A figure that a notebook shows below its cell; elsewhere one that no window or list of figures holds."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        return Figure(**kwargs)
    import matplotlib.pyplot as plt

    return plt.figure(**kwargs)


def _on(ax: Axes, draw: Callable[..., None], *args: Any, **kwargs: Any) -> Axes:
    """Draw on axes of the user, in the user's style; names are taken as they are, whatever dollars they have."""
    with mpl.rc_context({"text.parse_math": False}):
        draw(ax, *args, **kwargs)
        if ax.get_legend_handles_labels()[1]:
            ax.legend(fontsize="small")
    titles = [one for one in ax.get_children() if isinstance(one, Text) and one not in ax.texts]
    for text in (*titles, ax.xaxis.label, ax.yaxis.label):
        text.set_parse_math(False)
    return ax


def _named(name: str, known: Sequence[str], what: str) -> str:
    """One of some names, as it is."""
    if name in known:
        return name
    there = f"there are {', '.join(known)}" if known else "there are none yet"
    raise InputError(f"the results have no {what} {name!r}; {did_you_mean(name, known)}{there}")


class Plots:
    """The figures of the report, each drawn on Matplotlib axes.

    Every method draws on `ax` and returns it, in the user's own style and without pyplot. Without `ax` it makes the
    report's figure and returns its axes, the first where layers of several networks stand side by side: a notebook
    shows it, ``ax.figure.savefig`` writes it. Numbers are those of the tables.

    Examples
    --------
    >>> import matplotlib.pyplot as plt  # doctest: +SKIP
    >>> figure, (left, right) = plt.subplots(1, 2, layout="constrained")  # doctest: +SKIP
    >>> results.plot.correlations("hit", ax=left)  # doctest: +SKIP
    >>> results.plot.scatter("reconstruction_error", "hit", layer="fc2", ax=right)  # doctest: +SKIP
    """

    def __init__(self, store: StorePath) -> None:
        self._store = Store(store)

    def __repr__(self) -> str:
        names = [name for name in vars(type(self)) if not name.startswith("_")]
        return f"<figures of {self._store}: {', '.join(names)}>"

    def correlations(
        self,
        score: str | None = None,
        *,
        ax: Axes | None = None,
        method: Literal["pearson", "spearman"] = "pearson",
        measures: Sequence[str] = (),
        layers: Sequence[str] | None = None,
        readout: bool = True,
    ) -> Axes:
        """Draw the correlation of each measure with a score by layer, with 95 % bootstrap CIs.

        Parameters
        ----------
        score
            Name of the score; by default ``corrected_hit``, or the first.
        ax
            Where to draw.
        method
            ``"pearson"`` or ``"spearman"``.
        measures
            Measures; by default distinctiveness, reconstruction error, norm and one of every further kind.
        layers
            Layers; all by default.
        readout
            Whether linear readouts and others' predictions are drawn as upper marks, where there are any.

        Raises
        ------
        InputError
            If there are no correlations yet, or nothing of that name.
        """
        relations, marks = self._relations(layers), read_table_of(self._store.readout)
        score = self._score(relations, score)
        there = list(dict.fromkeys(zero_order_rows(relations, method=method)["measure"]))
        how: dict[str, Any] = {"method": method, "measures": [_named(name, there, "measure") for name in measures]}
        how["readout"] = marks if readout and len(marks) else None
        if ax is None:
            return figures.correlation_by_layer(relations, score, new=_new_figure, **how).axes[0]
        return _on(ax, drawing.draw_correlations, relations, score, **how)

    def scatter(
        self,
        measure: str = "reconstruction_error",
        score: str | pd.Series | None = None,
        *,
        layer: str | None = None,
        ax: Axes | None = None,
        margins: bool = True,
    ) -> Axes:
        """Draw a measure against a score, a dot per image, with the regression line and histograms at the margins.

        Parameters
        ----------
        measure
            Column of the tidy table.
        score
            Name of a score, of another column of the tidy table, or values of your own by image id; by default
            ``corrected_hit``, or the first score.
        layer
            Layer; by default the one that the paper reports the measure at where it is there, else the highest.
        ax
            Where to draw; histograms stand above and right of it.
        margins
            Whether to draw the histograms.

        Raises
        ------
        InputError
            If there is no such measure, layer or score.
        """
        table, relations = tidy.labelled_table(self._store), read_table_of(self._store.relations)
        part, layer = self._at(table, _named(measure, measures_of(table), "measure"), layer)
        name = self._score(relations, None) if score is None else score
        y, label = self._values(part, name)
        how: dict[str, Any] = {"label": label, "scaled": self._scaled}
        note = _r_note(relations, measure, layer, label) if isinstance(name, str) else ""
        if ax is None:
            known = part.assign(**{"\0y": y.to_numpy()})
            return figures.scatter(known, measure, "\0y", layer=layer, note=note, new=_new_figure, **how).axes[0]
        title = ", ".join(filter(None, (layer, note)))
        return _on(ax, drawing.draw_scatter, part[measure], y, measure=measure, title=title, margins=margins, **how)

    def distributions(
        self, measure: str = "distinctiveness", *, layers: Sequence[str] | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw the distribution of a measure over the targets, a row per layer, with the median.

        Parameters
        ----------
        measure
            Column of the tidy table.
        layers
            Layers; all by default.
        ax
            Where to draw; of several layers each has its own axes in ``ax.child_axes``.

        Raises
        ------
        InputError
            If there is no such measure or layer.
        """
        table = self._table(layers)
        _named(measure, measures_of(table), "measure")
        if ax is None:
            return figures.distributions(table, measure, scaled=self._scaled, new=_new_figure).axes[0]
        return _on(ax, drawing.draw_distributions, table, measure, scaled=self._scaled)

    def matrix(self, *, layers: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
        """Draw the correlations of distinctiveness, reconstruction error and norm of all layers with each other.

        Parameters
        ----------
        layers
            Layers; all by default.
        ax
            Where to draw; its colour bar takes a part of it.

        Raises
        ------
        InputError
            If nothing is measured yet, or there is no such layer.
        """
        wide = wide_table(self._table(layers))
        if wide.empty:
            raise InputError(f"{self._store} has no measures yet: run `distspc run` first")
        if ax is None:
            return figures.measure_matrix(wide, new=_new_figure).axes[0]
        return _on(ax, drawing.draw_matrix, wide)

    def reliability(self, *, layers: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
        """Draw how well the reconstruction errors of every two seeds agree, by layer.

        Parameters
        ----------
        layers
            Layers; all by default.
        ax
            Where to draw.

        Raises
        ------
        InputError
            If fewer than two seeds are done, or there is no such layer.
        """
        pairs, n_seeds = training.seed_pairs(self._store, self._layers(layers))
        if not pairs:
            raise InputError(f"{self._store} has reconstruction errors of fewer than two seeds: there is no agreement")
        how: dict[str, Any] = {"n_seeds": n_seeds, "n": len(tidy.target_positions(self._store))}
        if ax is None:
            return figures.reliability_over_seeds(pairs, new=_new_figure, **how).axes[0]
        return _on(ax, drawing.draw_agreement, pairs, **how)

    def training(self, *, layers: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
        """Draw the training error of the sparse codes (mean squared residual) against the batch, by layer and seed.

        Parameters
        ----------
        layers
            Layers; all by default.
        ax
            Where to draw.

        Raises
        ------
        InputError
            If no sparse code was trained in batches yet, or there is no such layer.
        """
        curves, _ = training.training(self._store, self._layers(layers))
        if not curves:
            raise InputError(f"{self._store} has no training in batches: run `distspc reconstruct` first")
        if ax is None:
            return figures.training_curves(curves, new=_new_figure).axes[0]
        return _on(ax, drawing.draw_training, curves)

    def gallery(
        self,
        measure: Literal["distinctiveness", "reconstruction_error"] = "distinctiveness",
        *,
        end: Literal["largest", "smallest"] = "largest",
        layer: str | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the images at one end of a measure, those of distinctiveness above their nearest neighbours.

        Parameters
        ----------
        measure
            ``"distinctiveness"`` or ``"reconstruction_error"``.
        end
            ``"largest"`` or ``"smallest"`` values.
        layer
            Layer; by default the one that the paper reports the measure at where it is there, else the highest.
        ax
            Where to draw; each image has its own axes in ``ax.child_axes``.

        Raises
        ------
        InputError
            If there is no such measure or layer.
        """
        _named(measure, list(galleries.ENDS), "gallery of")
        which = ["largest", "smallest"].index(_named(end, ["largest", "smallest"], "end"))
        table = tidy.labelled_table(self._store)
        part, layer = self._at(table, _named(measure, measures_of(table), "measure"), layer)
        images = tidy.image_table(self._store, {*part["image"], *part.get("neighbour", ())})
        found = galleries.ends_at(part, measure, layer, images)[which]
        rows = galleries.pictures(found)
        if ax is None:
            return figures.gallery(rows, title=found.title, new=_new_figure).axes[0]
        return _on(ax, drawing.draw_gallery, rows, title=found.title)

    @property
    def _scaled(self) -> bool:
        return training.is_scaled(self._store.distances)

    def _layers(self, layers: Sequence[str] | None) -> list[str]:
        """Those of some layers, by their labels, or all."""
        known = tidy.measured_layers(self._store)
        return known if layers is None else [_named(name, known, "layer") for name in layers]

    def _table(self, layers: Sequence[str] | None) -> pd.DataFrame:
        return tidy.labelled_table(self._store, layers=None if layers is None else self._layers(layers))

    def _relations(self, layers: Sequence[str] | None) -> pd.DataFrame:
        relations = read_table_of(self._store.relations)
        if relations.empty:
            raise InputError(f"{self._store} has no correlations yet: run `distspc relate` first")
        return relations if layers is None else relations[relations["layer"].isin(["", *self._layers(layers)])]

    def _score(self, relations: pd.DataFrame, score: str | None) -> str:
        """A score that is there: the one named, or the headline's."""
        known = list(dict.fromkeys(relations["score"]))
        if score is None and known:
            return "corrected_hit" if "corrected_hit" in known else known[0]
        return _named(score or "corrected_hit", known, "score")

    def _values(self, part: pd.DataFrame, score: str | pd.Series) -> tuple[pd.Series, str]:
        """Values of a score, a column or of the user's own by image id, and what they are called."""
        if isinstance(score, pd.Series):
            return score.reindex(part["image"]), str(score.name or "")
        scores = [str(name) for name in tidy.read_scores_of(self._store).columns]
        column = tidy.score_columns(scores).get(score, score)
        numeric = [name for name in part.columns if pd.api.types.is_numeric_dtype(part[name])]
        return part[_named(column, numeric, "score or column")], score

    def _at(self, table: pd.DataFrame, measure: str, layer: str | None) -> tuple[pd.DataFrame, str]:
        """Rows of the tidy table at one layer, and the layer's name."""
        known = layer_order(list(table.loc[table[measure].notna(), "layer"]))
        layer = headline_layers(measure, known)[0] if layer is None else _named(layer, known, "layer")
        return table[table["layer"] == layer], layer


def _r_note(relations: pd.DataFrame, measure: str, layer: str, score: str) -> str:
    """The correlation in the title, as the table of correlations has it; empty where it has none."""
    rows = zero_order_rows(relations)
    rows = rows[(rows["measure"] == measure) & rows["layer"].isin([layer, ""]) & (rows["score"] == score)]
    return r_with_interval(rows.iloc[0]) if len(rows) else ""
