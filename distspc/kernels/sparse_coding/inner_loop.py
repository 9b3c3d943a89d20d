"""The inner loop of the sparse-coding model: early-stopped shrinkage steps with a proven stop.

What is computed (`method.md`, section 4; Lin et al. 2024), for input B (rows, units) and dictionary Phi::

    r <- S(r + step (B - r Phi') Phi, sparsity)          S: soft threshold
    until ||r_new - r||_2 < eps (eps + ||r||_2)          spectral norms of the whole matrices

How it is computed here. The step is ``r M + b`` with ``M = I - step Phi'Phi`` and ``b = step B Phi``: no residual
inside the loop (`iteration`). Rows are independent of each other but for the stop, so they are cut into *parts*, one
thread each, that run some steps ahead (a *pass*, `passes`) before anyone asks whether to stop; steps beyond the stop
are thrown away. How the stop is decided: `stopping`.

Where the codes of a pass do not fit into memory, nothing but the state at its start is kept; a pass is run again where
its inside is needed. That encodes any number of rows in bounded memory, with the stop of all rows together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from distspc.kernels.sparse_coding import spectral
from distspc.kernels.sparse_coding.iteration import Inputs, Iteration, Rule
from distspc.kernels.sparse_coding.passes import (
    Finish,
    KeptParts,
    Margin,
    PartBuffers,
    Parts,
    Pass,
    PowerVectors,
    RerunParts,
    States,
)
from distspc.kernels.sparse_coding.stability import largest_stable_norm
from distspc.kernels.sparse_coding.stopping import change_bounds, first_subspace, next_subspace, proven_side
from distspc.kernels.threads import Threads


@dataclass(frozen=True)
class Stop:
    """How an inner loop ended: after how many steps, by the rule or by their largest number, and with which step."""

    n_steps: int
    converged: bool
    step: float


class DivergedError(FloatingPointError):
    """The code grew without limit; the message says where and why, as far as the caller knows.

    Attributes
    ----------
    step_too_long
        Whether the dictionary's norm is at or above what the step allows; else the input is not finite.
    """

    def __init__(self, n_steps: int, step: float, norm_squared: float) -> None:
        self.step_too_long = norm_squared >= largest_stable_norm(step)
        reason = (
            f"||Phi||^2 of the dictionary is {norm_squared:.4g}, and a step of {step:g} converges only below "
            f"{largest_stable_norm(step):g}"
        )
        super().__init__(
            f"the code diverged after {n_steps} steps: "
            + (reason if self.step_too_long else "the input holds NaN or infinity")
        )

    def within(self, place: str, first_component: float) -> Self:
        """Add where it happened, and the share of the variance along one direction, which makes such norms."""
        share = f" (the first principal component holds {first_component:.0%} of the variance of the sampled units)"
        self.args = (f"{place}: {self.args[0]}{share if self.step_too_long else ''}",)
        return self


class InnerLoop:
    """The inner loop for `n_rows` rows; buffers live as long as the object, for use batch after batch.

    Parameters
    ----------
    n_rows, n_codewords
        Shape of the code.
    dtype
        float64 or float32.
    rule
        Constants.
    threads
        Threads that share the work; BLAS is to be on one.
    part_rows
        Rows of a part; None: one part per thread.
    pass_steps
        Most steps run before the stop is looked at.
    keep
        Whether the codes of a pass stay in memory, so that none is run again.
    margin
        Relative distance, by type, within which norms do not count as told apart.
    """

    def __init__(
        self,
        n_rows: int,
        n_codewords: int,
        *,
        dtype: np.dtype,
        rule: Rule,
        threads: Threads,
        part_rows: int | None = None,
        pass_steps: int = 10,
        keep: bool = True,
        margin: Margin = spectral.rounding_margin,
    ) -> None:
        self.rule, self.threads, self.pass_steps, self.margin = rule, threads, pass_steps, margin
        self.parts = list(threads.shares(n_rows))
        if part_rows is not None:
            self.parts = [slice(a, min(a + part_rows, n_rows)) for a in range(0, n_rows, part_rows)]
        size = max(part.stop - part.start for part in self.parts)
        n_lanes = min(len(self.parts), threads.n)
        scratch = [np.empty((size, n_codewords), dtype) for _ in range(n_lanes)]
        self._kind: type[Parts] = KeptParts if keep else RerunParts
        rows = [part.stop - part.start for part in self.parts] if keep else [size] * n_lanes
        self._buffers = [PartBuffers(n, pass_steps, scratch[i % n_lanes]) for i, n in enumerate(rows)]
        # Batches are alike: how long the last one took, and where its first steps led, is the best guess for the next.
        self._n_expected = 2 * pass_steps
        self._first_v = first_subspace(n_codewords, np.dtype(dtype))

    def run(
        self,
        inputs: Inputs,
        dictionary: np.ndarray,
        finish: Finish,
        *,
        gram: np.ndarray | None = None,
        states: States | None = None,
        one_more: bool = False,
    ) -> tuple[Stop, np.ndarray | None]:
        """Encode all rows and hand every part's last two codes to `finish`.

        Parameters
        ----------
        inputs
            Gives the input (rows, units) of a slice of rows, already minus the mean.
        dictionary
            Phi (units, codewords).
        finish
            Called once a part with its rows and two or more codes (rows, codewords), good until the next run: that
            before the last step, that after it, and those of further steps where some were run.
        gram
            Phi'Phi, where the caller has it.
        states
            Two arrays (n_rows, codewords) for the codes between passes, on disk if need be; needed where those of a
            pass are not kept. Where they are, both may be the same.
        one_more
            Whether `finish` is to get the code of a step past the stop in any case, if the rule was met.

        Returns
        -------
        stop
            How it ended.
        codes
            That one of `states` which holds the codes after the last step; None without `states`.

        Raises
        ------
        DivergedError
            If the code grows without limit or the input holds NaN.
        """
        iteration = Iteration.of(inputs, dictionary, self.rule, gram)
        parts = self._kind(iteration, self.parts, self._buffers, self.threads, states)
        vectors, v, first, start_norm, pace = PowerVectors(self.margin), self._first_v, 0, 0.0, _Pace()
        while True:
            planned = pace.n_steps(self._n_expected - first, self.pass_steps, iteration.rule.tolerance)
            one = parts.run(first, min(planned, iteration.rule.max_steps - first), v, start_norm)
            _check_bounded(one, iteration)
            search = _find_stop(one, parts, vectors)
            one, last, end = search.one, search.last, first + one.n_steps
            if last is not None or end == iteration.rule.max_steps:
                converged, last = last is not None, one.n_steps - 1 if last is None else last
                parts.finish(one, last, finish, one_more=one_more and converged)
                self._n_expected = first + last + 1
                codes = None if parts.states is None else parts.states[1]
                return Stop(self._n_expected, converged, iteration.rule.step), codes
            v = next_subspace(one.sums.power_step, v)
            if first == 0:
                self._first_v = v
            parts.go_on(one)
            pace, first, start_norm = _Pace.of(search), end, one.end_norm


def _check_bounded(one: Pass, iteration: Iteration) -> None:
    largest = one.sums.squares.max()
    if largest < math.sqrt(np.finfo(largest.dtype).max):
        return
    gram = iteration.gram
    norm = spectral.norm_of_gram(gram.astype(np.float64)) if np.isfinite(gram).all() else math.inf
    raise DivergedError(one.first + one.n_steps, iteration.rule.step, norm**2)


# ---------------------------------------------------------------- when to stop


@dataclass(frozen=True)
class _Search:
    """Where a pass meets the rule.

    Attributes
    ----------
    one
        The pass, with what was found out about it.
    last
        Index of the first step that meets the rule; None if there is none.
    ratios
        Lower bounds (n_steps,) of the ratios that the rule is about.
    """

    one: Pass
    last: int | None
    ratios: np.ndarray


def _find_stop(one: Pass, parts: Parts, vectors: PowerVectors) -> _Search:
    """Find the first step of a pass whose ratio is below the tolerance, with the cheapest proof that does."""
    rule = parts.iteration.rule
    margin = vectors.margin(one.sums.squares.dtype)
    lower = change_bounds(one.sums, len(parts.iteration.gram), margin=margin)
    upper = np.sqrt(one.sums.squares[:-1])
    ratios = lower / (rule.eps + upper)
    for j in range(one.n_steps):
        if ratios[j] < rule.tolerance and math.isinf(one.end_norm):
            one, close = parts.with_close_bounds(one, vectors)
            upper = np.minimum(upper, close)
            ratios = lower / (rule.eps + upper)
        if ratios[j] < rule.tolerance:
            one = parts.with_grams(one, j)
            if _meets_rule(one, j, float(upper[j]), parts, vectors):
                return _Search(one, j, ratios)
    return _Search(one, None, ratios)


def _meets_rule(one: Pass, j: int, code_upper: float, parts: Parts, vectors: PowerVectors) -> bool:
    """Whether step j of a pass meets the rule, given an upper bound of the norm of the code before it."""
    rule, change = parts.iteration.rule, one.change_grams[j]
    least, most = (rule.tolerance * (rule.eps + norm) for norm in (parts.lower_norm(one, j, vectors), code_upper))
    margin = vectors.margin(one.sums.squares.dtype)
    error = parts.gram_error(change)
    proven, vectors.change = proven_side(change, least, most, vectors.change, error=error, margin=margin)
    return parts.meets_rule(one, j, vectors.margin) if proven is None else proven


@dataclass(frozen=True)
class _Pace:
    """How fast the ratio falls, per step and on a logarithmic scale, and its last value; nothing known at first."""

    decay: float = 0.0
    last_ratio: float = math.inf

    @classmethod
    def of(cls, search: _Search) -> _Pace:
        """What a pass says about it."""
        first, last = search.ratios[0], search.ratios[-1]
        # Ratios are estimates only where the norms at both ends are known; else they are far below.
        known = math.isfinite(search.one.end_norm) and first > last > 0
        return cls(math.log(first / last) / (len(search.ratios) - 1) if known else 0.0, last)

    def n_steps(self, n_expected: int, pass_steps: int, tolerance: float) -> int:
        """How many steps the next pass should have, so that a pass ends two steps past the stop.

        One of the two is for an estimate that is short, one for training, which takes one more step after the stop.

        Parameters
        ----------
        n_expected
            Steps to the stop, by experience.
        pass_steps
            Most steps of a pass.
        tolerance
            Ratio of the stop.
        """
        left = float(n_expected)
        if self.decay > 0:
            measured = max(math.log(self.last_ratio / tolerance) / self.decay, 0)
            left = min(max(left, measured), 1.5 * measured + 1)
        left = left + 2 if left > 0 else pass_steps
        return max(math.ceil(left / math.ceil(left / pass_steps)), 2)
