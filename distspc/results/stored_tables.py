"""Tables kept as groups of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from distspc.store.group import Group


def write_table(
    group: Group,
    frame: pd.DataFrame,
    *,
    recipe: Mapping[str, Any],
    attrs: Mapping[str, Any] | None = None,
) -> None:
    """Replace a group of the store by a table, a variable per column.

    Columns the schema does not know are left out; text and numbers keep the schema's types. The recipe comes last: a
    table cut short does not pass for one of this recipe.
    """
    rows = group.schema
    names = [name for name in rows if name in frame.columns]
    dim = rows[names[0]].dims[0]
    group.remove()
    group.allocate(coords={dim: len(frame)}, chunks={}, recipe={}, variables=names, attrs=dict(attrs or {}))
    for name in names if len(frame) else []:
        values = frame[name].astype(str).tolist() if rows[name].dtype == "str" else frame[name].to_numpy()
        group.write(name, values)
    group.set_attributes(recipe=dict(recipe))


def read_table_of(group: Group) -> pd.DataFrame:
    """Return a group that `write_table` wrote; an empty table where there is none."""
    if not group.exists():
        return pd.DataFrame(columns=list(group.schema))
    names = [name for name in group.schema if group.has(name)]
    return pd.DataFrame({name: group.read(name).tolist() for name in names})
