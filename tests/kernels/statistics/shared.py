"""What the tests of this folder share."""

import numpy as np


def sample(n=40, m=3, c=1, seed=0, ties=False):
    """Measures (n, m), a score and controls (n, c), all correlated; whole numbers with `ties`."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, c))
    x = rng.normal(size=(n, m)) + z.sum(axis=1, keepdims=True)
    y = x[:, 0] - z.sum(axis=1) + rng.normal(size=n)
    if ties:
        x, y, z = np.round(x), np.round(y), np.round(z)
    return x, y, z
