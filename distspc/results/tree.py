"""What a study found, opened from its store: an xarray DataTree that also gives the tidy table and NetCDF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from distspc.errors import InputError
from distspc.store.schema import StorePath
from distspc.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


class Results(xr.DataTree):
    """All groups of a store, opened lazily: images, activations by layer, distances, reconstruction, relations.

    An ordinary `xarray.DataTree` (units and long names in the attributes, Dask arrays inside), with two more methods.
    """

    __slots__ = ("_store",)

    @classmethod
    def open(cls, store: Store) -> Results:
        """Open the store of a study.

        Raises
        ------
        InputError
            If there is no store.
        """
        tree = cls.from_dict(dict(store.open().to_dict()), name=store.path.stem)
        tree._store = store.path
        return tree

    @property
    def store(self) -> Path:
        """Path of the store."""
        found = getattr(self.root, "_store", None)
        if found is None:
            raise InputError("these results were copied or changed and no longer know their store: open it again")
        return Path(found)

    def to_dataframe(self) -> pd.DataFrame:
        """Tidy table: a row per target and layer, see `distspc.results.tidy.tidy_table`."""
        from distspc.results.tidy import tidy_table

        return tidy_table(self.store)

    def save_netcdf(self, path: str | Path) -> Path:
        """Write everything but the activations as one NetCDF file, see `distspc.results.netcdf.to_netcdf`."""
        from distspc.results.netcdf import to_netcdf

        return to_netcdf(self.store, path)


def open_results(store: StorePath) -> Results:
    """Open the store of a study lazily.

    Raises
    ------
    InputError
        If there is no store.
    """
    store = Store(store)
    return Results.open(store)
