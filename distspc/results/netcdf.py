"""The store as one NetCDF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distspc.errors import InputError
from distspc.io.files import written_whole
from distspc.store.format.schema import ACTIVATIONS, GRAM, MEASURES, StorePath
from distspc.store.store import Store


def to_netcdf(store: StorePath, path: str | Path) -> Path:
    """Write the results of a study as one NetCDF-4 file with groups: without activations, Gram matrices, dictionaries.

    Parameters
    ----------
    store
        Path of the store.
    path
        The file to write.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the store holds nothing yet.
    """
    import json

    import xarray as xr

    store = Store(store)
    tree = store.open()
    groups = {}
    further = {f"{MEASURES}/{word}": node for word, node in tree[MEASURES].children.items()} if MEASURES in tree else {}
    for name, node in {**tree.children, **further}.items():
        if name in (ACTIVATIONS, GRAM) or not node.has_data:
            continue
        dataset = node.to_dataset().drop_vars("dictionary", errors="ignore").load()
        dataset.attrs = {
            key: value if isinstance(value, str) else json.dumps(value) for key, value in dataset.attrs.items()
        }
        groups[name] = _plain(dataset)
    if not groups:
        raise InputError(f"{store} holds no results yet: run the study first")
    if "failures" in tree.attrs:
        groups["/"] = xr.Dataset(attrs={"failures": json.dumps(tree.attrs["failures"])})
    path = Path(path)
    with written_whole(path) as beside:
        xr.DataTree.from_dict(groups).to_netcdf(beside, engine="h5netcdf")
    return path


def _plain(dataset: Any) -> Any:
    """Give a dataset the types that NetCDF knows: text as objects, booleans as bytes."""
    for name, variable in dataset.variables.items():
        kind = variable.dtype.kind
        if kind in "TU":
            dataset[name] = variable.astype(object)
        elif kind == "b":
            dataset[name] = variable.astype("int8")
        dataset[name].encoding = {}
    return dataset
