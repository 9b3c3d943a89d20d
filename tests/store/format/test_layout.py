"""One array: checksums, fill values that mean 'not there', attributes of the schema."""

import numpy as np
import zarr

from distspc.store.format import schema
from distspc.store.format.layout import create_array


def made(tmp_path, name, dtype):
    zarr.open_group(str(tmp_path / "s.zarr"), mode="a")
    row = schema.Variable(("image",), dtype, "a column", "pixel")
    create_array(tmp_path / "s.zarr", "images", name, (3,), (2,), dtype, row)
    return zarr.open_array(str(tmp_path / "s.zarr"), path=f"images/{name}")


def test_what_is_not_written_is_missing(tmp_path):
    assert np.isnan(made(tmp_path, "a", "float32")[:]).all()
    assert made(tmp_path, "b", "int64")[:].tolist() == [-1, -1, -1]
    assert made(tmp_path, "c", "str")[:].tolist() == ["", "", ""]
    assert made(tmp_path, "d", "bool")[:].tolist() == [False, False, False]


def test_arrays_have_units_names_of_dimensions_and_a_checksum(tmp_path):
    array = made(tmp_path, "a", "float32")
    assert dict(array.attrs) == {"long_name": "a column", "units": "pixel"}
    assert array.metadata.dimension_names == ("image",)
    assert array.chunks == (2,)
    assert "crc32c" in str(array.metadata.to_dict()["codecs"])
    assert "units" not in made(tmp_path, "c", "str").attrs
