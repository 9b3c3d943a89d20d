"""Tests of: which row of a matrix is which image's, by name."""

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.imported.row_names import match_rows
from distspc.images.listing import ImageSource


def images(*files):
    return [ImageSource(f"targets/{i + 1}", "target", i + 1, f"/study/{file}") for i, file in enumerate(files)]


@pytest.mark.parametrize(
    ("names", "files", "rows"),
    [
        (["b.jpg", "a.jpg"], ["a.jpg", "b.jpg"], [1, 0]),
        (["b", "x", "a"], ["a.jpg", "b.PNG"], [2, 0]),
        (["dog/1.jpg", "cat/1.jpg"], ["cat/1.jpg", "dog/1.jpg"], [1, 0]),
        (["dog\\1.jpg", "cat\\1.jpg"], ["cat/1.jpg", "dog/1.jpg"], [1, 0]),
        (["/elsewhere/all/b.jpg", "/elsewhere/all/a.jpg"], ["a.jpg", "b.jpg"], [1, 0]),
        (["targets/2", "targets/1"], ["x.jpg", "y.jpg"], [1, 0]),
        (["2", "1", "10"], ["10.jpg", "01.jpg"], [2, 1]),
        (["002", "001"], ["001.jpg", "002.jpg"], [1, 0]),
        (["1.jpg", "cat/1.jpg"], ["cat/1.jpg", "dog/1.jpg"], [1, 0]),
        (["img.v1", "img.v2"], ["img.v2.jpg", "img.v1.jpg"], [1, 0]),
        (["café.jpg".replace("é", "e\u0301"), "b.jpg"], ["café.jpg"], [0]),
    ],
)
def test_rows_are_found_by_the_longest_end_of_a_path_id_or_stem(names, files, rows):
    found = match_rows(names, images(*files), where="m")
    np.testing.assert_array_equal(found, rows)


@pytest.mark.parametrize(
    ("names", "files", "said"),
    [
        (
            ["a.jpg"],
            ["a.jpg", "b.jpg", "c.jpg"],
            r"m: 2 of 3 images have no row: /study/b\.jpg.* called a\.jpg",
        ),
        (["a.jpg", "b.jpg", "a.jpg"], ["a.jpg", "b.jpg"], r"m: rows 1 and 3 are both those of 'a\.jpg': keep one"),
        (
            ["1.jpg"],
            ["cat/1.jpg", "dog/1.jpg"],
            r"row '1\.jpg' is that of '/study/cat/1\.jpg' and of '/study/dog",
        ),
        (["cow/1.jpg", "hen/1.jpg"], ["cat/1.jpg"], "1 of 1 image has no row"),
        (["A.jpg"], ["a.jpg"], "1 of 1 image has no row"),
        ([], ["a.jpg"], "1 of 1 image has no row: .*; it has no rows"),
    ],
)
def test_images_without_a_row_or_with_two_are_named(names, files, said):
    with pytest.raises(InputError, match=said):
        match_rows(names, images(*files), where="m")
