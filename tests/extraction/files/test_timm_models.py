"""Tests of `distspc.extraction.files.timm_models`."""

import pytest

from distspc.errors import InputError
from distspc.extraction.files import timm_models


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        timm_models.refuse_other_files(tmp_path / "m.safetensors")
    (tmp_path / "m.pkl").write_bytes(b"x")
    with pytest.raises(InputError, match=r"m\.pkl': expected a file that ends in \.safetensors, \.pth, \.pt, \.bin"):
        timm_models.refuse_other_files(tmp_path / "m.pkl")


def test_without_timm_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install 'distspc\[torch\]'"):
        timm_models.pretrained_config("resnet18")


@pytest.mark.torch
class TestWithTimm:
    """timm itself."""

    def setup_method(self):
        pytest.importorskip("timm")

    def test_its_own_configuration_is_taken_over(self):
        steps = timm_models.own_preprocessing("vit_base_patch14_dinov2.lvd142m")
        assert steps.described() == {
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "scale": 1 / 255,
            "channels": "rgb",
            "resize": "crop",
            "interpolation": "bicubic",
            "antialias": True,
            "crop_share": 1.0,
            "size": [518, 518],
        }

    def test_unknown_names_get_near_misses(self):
        with pytest.raises(InputError, match=r"has no 'resnet19'; did you mean 'resnet"):
            timm_models.pretrained_config("resnet19")
        with pytest.raises(InputError, match=r"resnet18 has no such weights; .*it has resnet18\."):
            timm_models.pretrained_config("resnet18.nobody")
