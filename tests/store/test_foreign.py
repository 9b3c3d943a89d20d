"""Tests of: Zarr arrays that others wrote."""

import numpy as np
import pytest
import zarr

from distspc.errors import InputError
from distspc.store.foreign import open_array


@pytest.mark.parametrize("version", [2, 3])
def test_arrays_alone_and_in_groups_are_opened(tmp_path, version):
    values = np.arange(6.0).reshape(3, 2)
    zarr.create_array(tmp_path / "a.zarr", data=values, zarr_format=version)
    group = zarr.open_group(tmp_path / "g.zarr", mode="w", zarr_format=version)
    group.create_array("fc2", data=values)
    np.testing.assert_array_equal(open_array(tmp_path / "a.zarr")[:], values)
    np.testing.assert_array_equal(open_array(tmp_path / "g.zarr", "fc2").oindex[np.array([2, 0])], values[[2, 0]])


def test_other_arrays_and_other_folders_are_named(tmp_path):
    zarr.open_group(tmp_path / "g.zarr", mode="w").create_array("fc2", data=np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"g\.zarr' has no array 'fc1'; it has fc2"):
        open_array(tmp_path / "g.zarr", "fc1")
    with pytest.raises(InputError, match=r"none\.zarr' cannot be read as Zarr"):
        open_array(tmp_path / "none.zarr", "fc1")
