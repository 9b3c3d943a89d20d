"""Tests of `distspc.extraction.preprocessing`."""

import numpy as np
import pytest

from distspc.extraction import preprocessing
from distspc.extraction.preprocessing import StatedPreprocessing, stated


def test_preprocessing():
    image = np.array([[[[10, 20, 255]]]], dtype=np.uint8)
    assert preprocessing.preprocess(image).tolist() == [[[[10.0, 20.0, 255.0]]]]
    found = preprocessing.preprocess(image, "caffe")
    np.testing.assert_allclose(found, [[[[255 - 104.006, 20 - 116.669, 10 - 122.679]]]], rtol=1e-6)
    assert found.dtype == np.float32


def test_what_is_left_out_is_as_raw():
    assert stated({}) == StatedPreprocessing()
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype(np.uint8)
    np.testing.assert_array_equal(preprocessing.preprocess(image, stated({})), preprocessing.preprocess(image))


def test_caffe_can_be_stated():
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype(np.uint8)
    steps = stated({"mean": [104.006, 116.669, 122.679], "channels": "bgr"})
    np.testing.assert_array_equal(preprocessing.preprocess(image, steps), preprocessing.preprocess(image, "caffe"))


def test_steps_are_applied_in_their_order():
    image = np.array([[[[0, 51, 255]]]], np.uint8)
    steps = stated({"scale": "1/255", "mean": [0.5, 0.4, 0.3], "standard_deviation": [0.5, 0.25, 0.1]})
    found = preprocessing.preprocess(image, steps)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[[[-1, -0.8, 7]]]], rtol=1e-6)


def test_a_crop_is_antialiased_unless_stated():
    assert stated({"resize": "crop"}).antialias
    assert not stated({"resize": "crop", "antialias": False}).antialias
    assert not stated({"resize": "stretch"}).antialias
    assert stated({"size": 30}).size == (30, 30)
    assert stated({"size": [30, 40], "crop-share": 0.5}).rule.crop_share == 0.5


def test_the_description_is_plain_and_whole():
    steps = stated({"mean": 0.5, "std": 0.25, "size": 30})
    assert steps.described() == {
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "scale": 1.0,
        "channels": "rgb",
        "resize": "stretch",
        "interpolation": "bilinear",
        "antialias": False,
        "crop_share": 1.0,
        "size": [30, 30],
    }
    assert stated(steps.described()) == steps
    assert "crop-share 1.0" in preprocessing.in_words(steps)
    assert preprocessing.in_words("raw").startswith("raw (RGB from 0 to 255; stretched")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"men": 1}, "men: unknown key; did you mean 'mean'"),
        ({"mean": "dark"}, "mean: invalid value 'dark': expected a number"),
        ({"mean": [1, 2]}, "expected one number, or three"),
        ({"std": 0}, "std: invalid value 0: expected a number greater than 0"),
        ({"std": True}, "std: invalid value True"),
        ({"scale": "1/0"}, "scale: invalid value '1/0'"),
        ({"scale": float("nan")}, "scale: invalid value nan"),
        ({"channels": "grey"}, "expected one of rgb, bgr"),
        ({"resize": "pad"}, "expected one of stretch, crop"),
        ({"interpolation": ["bilinear"]}, "interpolation: invalid value .* expected one of nearest, bilinear"),
        ({"antialias": 1}, "antialias: invalid value 1: expected true or false"),
        ({"crop-share": 1.5}, "crop-share: invalid value 1.5: expected a share of at most 1"),
        ({"size": 0}, "size: invalid value 0: expected pixels"),
        ({"size": [224, 224, 3]}, "size: invalid value .*: expected pixels"),
    ],
)
def test_wrong_steps_are_named(content, said):
    with pytest.raises(ValueError, match=said):
        stated(content)
