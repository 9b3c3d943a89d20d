"""What the tests of sparse coding share."""

from __future__ import annotations

import pytest
from threadpoolctl import threadpool_limits

from distspc.testing.stores import relu_activations


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    """Small matrices, many of them: on a busy machine, threads of BLAS wait for each other most of the time."""
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture(scope="session")
def activations():
    return relu_activations(300, 200)


@pytest.fixture(scope="session")
def drawn(literal, activations):
    """Give a function that draws as the method does: generator, units, scaled units, first dictionary."""

    def draw(seed=3, n_units=80, n_codewords=40):
        return literal.draw(seed, activations, n_units, n_codewords)

    return draw
