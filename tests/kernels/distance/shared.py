"""What tests of the distance kernels share: difficult rows, and their distances in extended precision."""

from __future__ import annotations

import numpy as np


def true_squares(x: np.ndarray, y: np.ndarray, metric: str) -> np.ndarray:
    """Squared distance of every pair (of scaled rows but for euclidean), literally, in extended precision."""
    a, b = x.astype(np.longdouble), y.astype(np.longdouble)
    if metric == "correlation":
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    if metric != "euclidean":
        a, b = (v / np.sqrt((v**2).sum(axis=1, keepdims=True)) for v in (a, b))
    return np.array([[((row - other) ** 2).sum() for other in b] for row in a])


def rows_of_kind(kind: str, n: int, n_features: int, seed: int) -> np.ndarray:
    """Float32 rows of one difficult kind."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, n_features))
    values = {
        "relu": np.maximum(noise, 0),
        "near-duplicates": 1e4 * np.repeat(noise[: -(-n // 5)], 5, axis=0)[:n] + 1e-2 * noise,
        "far from the origin": 1e5 + noise,
        "two clusters": rng.choice([-1e5, 1e5], (n, 1)) + noise,
        "constant features": np.where(np.arange(n_features) % 2, 3.0, noise),
        "float16": noise.astype(np.float16),
        "small": 1e-30 * noise,
        "large": 1e37 * noise,
        "scales": 10.0 ** rng.integers(-15, 15, (n, 1)) * noise,
        "whole numbers": rng.integers(0, 3, (n, n_features)),
    }[kind]
    return np.ascontiguousarray(values, dtype=np.float32)


KINDS = (
    "relu",
    "near-duplicates",
    "far from the origin",
    "two clusters",
    "constant features",
    "float16",
    "small",
    "large",
    "scales",
    "whole numbers",
)
