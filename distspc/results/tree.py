"""What a study found, opened from its store: an xarray DataTree that also gives the tidy table and NetCDF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from distspc.errors import InputError
from distspc.results.card import Card, card_of, shown, study_name
from distspc.store.format import schema
from distspc.store.format.schema import StorePath
from distspc.store.replacement import read_whole
from distspc.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from distspc.results.plot.accessor import Plots


@xr.register_datatree_accessor("distspc")
class ResultsAccessor:
    """What any tree of a study's store gives under ``tree.distspc``, also after `copy`, `filter` or `sel`.

    Examples
    --------
    >>> distspc.open_results("study.zarr").filter(lambda node: node.has_data).distspc.to_dataframe()  # doctest: +SKIP
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    @property
    def store(self) -> Path:
        """Path of the store.

        Raises
        ------
        InputError
            If the tree does not come from a store, or no longer knows it.
        """
        source = self._tree.root.encoding.get("source")
        if source is None:
            raise InputError("these results do not come from a store, or no longer know theirs: open it again")
        return Path(source)

    @property
    def plot(self) -> Plots:
        """The report's figures on Matplotlib axes, see `distspc.results.plot.accessor.Plots`."""
        from distspc.results.plot.accessor import Plots

        return Plots(self.store)

    def to_dataframe(self) -> pd.DataFrame:
        """Tidy table of the store: a row per target and layer, see `distspc.results.tidy.tidy_table`."""
        from distspc.results.tidy import tidy_table

        return tidy_table(self.store)

    def table(self, name: str) -> pd.DataFrame:
        """Return a table that `relate` has made: ``relations``, ``models``, ``comparisons``, ``readout``, ...

        Parameters
        ----------
        name
            Its group of the store. Of several networks, ``model`` stands beside ``layer``.

        Raises
        ------
        InputError
            If no group of this name is a table.
        """
        from distspc.results.measures import with_models
        from distspc.results.stored_tables import read_table_of

        if name not in schema.TABLES:
            raise InputError(f"there is no table {name!r}; there are {', '.join(schema.TABLES)}")
        found = read_table_of(Store(self.store)[name])
        return with_models(found) if "layer" in found.columns else found

    def save_netcdf(self, path: str | Path) -> Path:
        """Write everything but the activations as one NetCDF file, see `distspc.results.netcdf.to_netcdf`."""
        from distspc.results.netcdf import to_netcdf

        return to_netcdf(self.store, path)


class Results(xr.DataTree):
    """All groups of a store, opened lazily: images, activations by layer, distances, reconstruction, relations.

    An ordinary `xarray.DataTree` (units and long names in the attributes, Dask arrays inside), whose methods under
    ``.distspc`` are its own as well.
    """

    __slots__ = ()

    def __repr__(self) -> str:  # type: ignore[override]
        tree = shown(super().__repr__)
        return f"{results_card(self.store).text()}\n\n{tree}" if self._is_whole else tree

    def _repr_html_(self) -> str:
        tree = shown(super()._repr_html_)
        return results_card(self.store).html(below=tree) if self._is_whole else tree

    @property
    def _is_whole(self) -> bool:
        """Whether these are all results of a store, not a part of them."""
        return self.parent is None and "source" in self.encoding

    @property
    def store(self) -> Path:
        """Path of the store."""
        return Path(self.distspc.store)

    @property
    def plot(self) -> Plots:
        """The report's figures on Matplotlib axes: ``plot.correlations``, ``plot.scatter`` and others, see `Plots`."""
        return self.distspc.plot

    def to_dataframe(self) -> pd.DataFrame:
        """Tidy table: a row per target and layer, see `distspc.results.tidy.tidy_table`."""
        return self.distspc.to_dataframe()

    def table(self, name: str) -> pd.DataFrame:
        """Return a table that `relate` has made, such as ``relations`` or ``readout``; see `ResultsAccessor.table`."""
        return self.distspc.table(name)

    def save_netcdf(self, path: str | Path) -> Path:
        """Write everything but the activations as one NetCDF file, see `distspc.results.netcdf.to_netcdf`."""
        return Path(self.distspc.save_netcdf(path))


def results_card(store: Path) -> Card:
    """What is shown of results: images, layers, scores, and how each measure correlates with each score."""
    title = f"Results of {study_name(store)}"
    return card_of(title, lambda: read_whole(Store(store), lambda: _card(Store(store), title)))


def _card(store: Store, title: str) -> Card:
    from distspc.results.stored_tables import read_table_of
    from distspc.results.tidy import measured_layers

    relations = read_table_of(store.relations)
    roles = store.images.read("role").tolist() if store.images.has("role") else []
    facts = [("targets, fillers", f"{roles.count('target'):,}, {roles.count('filler'):,}")] if roles else []
    layers, scores = measured_layers(store), list(dict.fromkeys(relations["score"]))
    facts += [("layers", ", ".join(layers) or "none measured yet"), ("scores", ", ".join(scores) or "none related yet")]
    caption = 'Pearson correlations, 95 % CI; see .to_dataframe(), .table("relations"), .plot'
    return Card(title, [*facts, ("store", str(store))], caption, ["measure", "layer", *scores], _rows(relations))


def _rows(relations: pd.DataFrame) -> list[list[str]]:
    """A row for each measure of the paper and layer, a cell for each score."""
    import pandas as pd

    from distspc.results.measures import HEADLINE, MEASURES, zero_order_rows
    from distspc.results.numbers import r_with_interval

    rows, scores = zero_order_rows(relations), list(dict.fromkeys(relations["score"]))
    found: dict[tuple[str, str], dict[str, str]] = {}
    for measure in HEADLINE:
        for row in rows[rows["measure"] == measure].to_dict("records"):
            cell = r_with_interval(pd.Series(row)).removeprefix("r = ")
            found.setdefault((MEASURES[measure], row["layer"]), {})[row["score"]] = cell
    return [[*pair, *(cells.get(score, "") for score in scores)] for pair, cells in found.items()]


def open_results(store: StorePath) -> Results:
    """Open the store of a study lazily.

    Raises
    ------
    InputError
        If there is no store.
    """
    tree = read_whole(Store(store), Store(store).open)
    results = Results.from_dict(dict(tree.to_dict()), name=Store(store).path.stem)
    results.encoding = dict(tree.encoding)
    return results
