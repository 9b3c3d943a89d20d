"""Fixtures of the tests of this folder."""

import numpy as np
import PIL.Image
import pytest

from tests.images.shared import SHIPPED


@pytest.fixture(scope="module")
def photograph():
    return np.asarray(PIL.Image.open(SHIPPED / "coffee.png").convert("RGB"))[:256, :300]
