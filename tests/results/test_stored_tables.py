"""Tables kept as groups: what is written comes back, with the schema's types."""

import pandas as pd

from distspc.results.stored_tables import read_table_of, write_table
from distspc.store.store import Store
from distspc.testing.stores import make_store

TABLE = pd.DataFrame(
    {"layer": ["fc2", "all"], "measure": ["distinctiveness"] * 2, "score": ["hit"] * 2, "given": ["", "norm"],
     "n": [10, 9], "r": [0.25, float("nan")], "mine": [1, 2]}
)  # fmt: skip


def test_a_table_comes_back_without_columns_that_the_schema_does_not_know(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=1, layers={"fc2": 4})
    group = Store(tmp_path / "s.zarr").relations
    assert list(read_table_of(group).columns)
    assert read_table_of(group).empty
    write_table(group, TABLE, recipe={"scores": "sha256:ab"}, attrs={"n_bootstrap": 7})
    found = read_table_of(group)
    assert "mine" not in found.columns
    assert found["given"].tolist() == ["", "norm"]
    assert found["r"].iloc[0] == 0.25
    assert group.attributes["recipe"] == {"scores": "sha256:ab"}
    assert group.attributes["n_bootstrap"] == 7


def test_a_shorter_table_replaces_a_longer_one(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=1, layers={"fc2": 4})
    group = Store(tmp_path / "s.zarr").relations
    write_table(group, TABLE, recipe={})
    write_table(group, TABLE.iloc[:1], recipe={})
    assert len(read_table_of(group)) == 1
    write_table(group, TABLE.iloc[:0], recipe={})
    assert read_table_of(group).empty
