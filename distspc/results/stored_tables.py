"""Tables kept as groups of the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from distspc.store import group as zarr_store
from distspc.store import schema
from distspc.store.schema import StorePath


def has_variable(store: StorePath, group: str, variable: str) -> bool:
    """Whether a group of the store has this variable."""
    return (Path(store) / group / variable / "zarr.json").exists()


def write_table(
    store: StorePath,
    group: str,
    frame: pd.DataFrame,
    *,
    recipe: Mapping[str, Any],
    attrs: Mapping[str, Any] | None = None,
) -> None:
    """Replace a group of the store by a table, a variable per column.

    Columns the schema does not know are left out; text and numbers keep the schema's types. The recipe comes last: a
    table cut short does not pass for one of this recipe.
    """
    rows = schema.variables(group)
    names = [name for name in rows if name in frame.columns]
    dim = rows[names[0]].dims[0]
    zarr_store.remove(store, group)
    zarr_store.allocate(
        store, group, coords={dim: len(frame)}, chunks={}, recipe={}, variables=names, attrs=dict(attrs or {})
    )
    for name in names if len(frame) else []:
        values = frame[name].astype(str).tolist() if rows[name].dtype == "str" else frame[name].to_numpy()
        zarr_store.write(store, group, name, values)
    zarr_store.note(Path(store) / group, recipe=dict(recipe))


def read_table_of(store: StorePath, group: str) -> pd.DataFrame:
    """Return a group that `write_table` wrote; an empty table where there is none."""
    if not zarr_store.exists(store, group):
        return pd.DataFrame(columns=list(schema.variables(group)))
    names = [name for name in schema.variables(group) if has_variable(store, group, name)]
    return pd.DataFrame({name: zarr_store.read(store, group, name).tolist() for name in names})
