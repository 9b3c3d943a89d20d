"""The inner loop stops where the definition says."""

from __future__ import annotations

import numpy as np
import pytest

from distspc.kernels.sparse_coding.inner_loop import DivergedError, InnerLoop
from distspc.kernels.sparse_coding.iteration import PAPER, Rule
from distspc.kernels.threads import Threads, single_threaded_blas

CUTS = pytest.mark.parametrize(("part_rows", "keep"), [(None, True), (10, True), (10, False)])


@CUTS
def test_where_bounds_tell_nothing_the_definition_decides(part_rows, keep, literal, drawn):
    _, _, X, phi = drawn()
    phi = phi / np.linalg.norm(phi, axis=0)
    B = (X[:50] - np.mean(X[:50])).astype(float)
    states = np.zeros((50, 40)), np.zeros((50, 40))
    with single_threaded_blas(2) as n_threads, Threads(n_threads) as threads:
        loop = InnerLoop(
            50,
            40,
            dtype=np.float64,
            rule=PAPER,
            threads=threads,
            part_rows=part_rows,
            keep=keep,
            margin=lambda dtype: 1e6,
        )
        stop, _ = loop.run(B.__getitem__, phi, lambda rows, codes: None, states=states)
    assert stop.n_steps == literal.encode(B, phi)[3]


@CUTS
def test_every_step_is_decided_as_singular_values_decide(part_rows, keep, literal, drawn):
    """However the cheap bounds answer, the ratio of the definition is on the same side of eps at every step."""
    _, _, X, phi = drawn()
    phi = phi / np.linalg.norm(phi, axis=0)
    with single_threaded_blas(2) as n_threads, Threads(n_threads) as threads:
        loop = InnerLoop(50, 40, dtype=np.float64, rule=PAPER, threads=threads, part_rows=part_rows, keep=keep)
        for seed in range(5):
            rows = np.random.RandomState(seed).choice(len(X), 50)
            B = (X[rows] - np.mean(X[rows])).astype(float)
            stop, _ = loop.run(
                B.__getitem__, phi, lambda rows, codes: None, states=(np.zeros((50, 40)), np.zeros((50, 40)))
            )
            assert stop.n_steps == literal.encode(B, phi)[3]


@pytest.fixture
def two_threads():
    with single_threaded_blas(2) as n_threads, Threads(n_threads) as threads:
        yield threads


def nothing(rows, codes):
    """Take no notice of the codes."""


def test_buffers_serve_batch_after_batch(drawn, two_threads):
    _, _, X, phi = drawn()
    phi = phi / np.linalg.norm(phi, axis=0)
    loop = InnerLoop(50, 40, dtype=np.float64, rule=PAPER, threads=two_threads)
    batches = [(X[a : a + 50] - np.mean(X[a : a + 50])).astype(float) for a in (0, 50, 0)]
    found = []
    for batch in batches:
        code = np.empty((50, 40))

        def finish(rows, codes, code=code):
            code[rows] = codes[1]

        stop, _ = loop.run(batch.__getitem__, phi, finish)
        found.append((stop, code))
    assert found[2][0] == found[0][0]
    np.testing.assert_allclose(found[2][1], found[0][1], rtol=0, atol=1e-13)
    assert np.abs(found[1][1] - found[0][1]).max() > 1e-3


@CUTS
def test_a_step_past_the_stop_is_there_where_it_is_asked_for(drawn, literal, two_threads, part_rows, keep):
    _, _, X, phi = drawn()
    phi = phi / np.linalg.norm(phi, axis=0)
    B = (X[:50] - np.mean(X[:50])).astype(float)
    states = np.zeros((50, 40)), np.zeros((50, 40))
    loop = InnerLoop(50, 40, dtype=np.float64, rule=PAPER, threads=two_threads, part_rows=part_rows, keep=keep)
    code = np.empty((50, 40))

    def finish(rows, codes):
        code[rows] = codes[2]

    _, last = loop.run(B.__getitem__, phi, finish, states=states, one_more=True)
    r = literal.encode(B, phi)[0]
    np.testing.assert_allclose(last, r, rtol=0, atol=1e-12)
    expected = literal.S(r + literal.STEP * ((B - r @ phi.T) @ phi), literal.LAMBDA)
    np.testing.assert_allclose(code, expected, rtol=0, atol=1e-12)


def test_the_largest_number_of_steps_ends_it(drawn, two_threads):
    _, _, X, phi = drawn()
    B = (X[:50] - np.mean(X[:50])).astype(float)
    loop = InnerLoop(50, 40, dtype=np.float64, rule=Rule(max_steps=7), threads=two_threads, pass_steps=3)
    stop, codes = loop.run(B.__getitem__, phi, nothing)
    assert (stop.n_steps, stop.converged, stop.step) == (7, False, 0.01)
    assert codes is None


@pytest.mark.parametrize(("value", "long", "reason"), [(1.0, True, "converges only below"), (np.nan, False, "NaN")])
def test_a_code_without_bounds_says_why(drawn, two_threads, value, long, reason):
    _, _, X, phi = drawn()
    B = value * X[:50].astype(float)
    loop = InnerLoop(50, 40, dtype=np.float64, rule=Rule(step=50.0) if long else PAPER, threads=two_threads)
    with pytest.raises(DivergedError, match=reason) as caught:
        loop.run(B.__getitem__, phi, nothing)
    assert caught.value.step_too_long is long
    assert str(caught.value.within("here", 0.9)).startswith("here: the code diverged after ")
    assert ("90%" in str(caught.value)) is long
