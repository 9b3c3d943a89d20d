"""The inner loop of the sparse-coding model: early-stopped shrinkage steps with a proven stop.

What is computed (`method.md`, section 4; Lin et al. 2024), for input B (rows, units) and dictionary Phi::

    r <- S(r + step (B - r Phi') Phi, sparsity)          S: soft threshold
    until ||r_new - r||_2 < eps (eps + ||r||_2)          spectral norms of the whole matrices

How it is computed here. The step is ``r M + b`` with ``M = I - step Phi'Phi`` and ``b = step B Phi``: no residual
inside the loop. Rows are independent of each other but for the stop, so they are cut into *parts*, one thread each,
that run some steps ahead (a *pass*) before anyone asks whether to stop; steps beyond the stop are thrown away. How the
stop is decided: `stopping`.

With more parts than threads nothing but the state at the start of the pass is kept; a pass is run again where its
inside is needed. That encodes any number of rows in bounded memory, with the stop of all rows together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np

from distspc.kernels.sparse_coding import spectral
from distspc.kernels.sparse_coding.stability import largest_stable_norm, stable_share
from distspc.kernels.sparse_coding.stopping import (
    PassSums,
    end_products,
    first_subspace,
    line_bounds,
    next_subspace,
    proven_side,
    summarise,
)
from distspc.kernels.threads import Threads

GATHERED_STEPS = 4
"""Steps of a pass whose Gram matrices are held at a time: two of (codewords, codewords) each."""

Inputs = Callable[[slice], np.ndarray]
Result = TypeVar("Result")
Finish = Callable[[slice, np.ndarray], None]


@dataclass(frozen=True)
class Rule:
    """Constants of the inner loop: threshold, step length, tolerance (eps), and the largest number of steps.

    The method counts steps from 0 and gives up when the count is 998: that is 999 steps.
    """

    sparsity: float = 1e-3
    step: float = 1e-2
    tolerance: float = 1e-2
    max_steps: int = 999
    floor: float | None = None
    """The eps that is added to the norm of the code; the tolerance, if None."""
    shorten: bool = False
    """Whether a dictionary for which the step is not stable gets a shorter one (`stability`)."""

    @property
    def eps(self) -> float:
        """What is added to the norm of the code."""
        return self.tolerance if self.floor is None else self.floor

    def shortened(self, share: float) -> Rule:
        """The rule of a step that is `share` as long: same fixed points, same meaning of the stop (`stability`)."""
        return replace(
            self,
            sparsity=share * self.sparsity,
            step=share * self.step,
            tolerance=share * self.tolerance,
            max_steps=math.ceil(self.max_steps / share),
            floor=self.eps,
        )


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


def soft_threshold(x: np.ndarray, threshold: float, work: np.ndarray | None = None) -> np.ndarray:
    """Shrink `x` towards 0 by `threshold`, in place: sign(x) max(|x| - threshold, 0)."""
    return np.subtract(x, np.clip(x, -threshold, threshold, out=work), out=x)


class _Buffers:
    """What one part needs for a pass: the code after every step, the drive b, scratch."""

    def __init__(self, n_rows: int, n_codewords: int, n_steps: int, dtype: np.dtype) -> None:
        self.flat = np.empty((n_steps + 1) * n_rows * n_codewords, dtype)
        self.drive = np.empty((n_rows, n_codewords), dtype)
        self.work = np.empty((n_rows, n_codewords), dtype)

    def history(self, n_rows: int, n_steps: int) -> np.ndarray:
        """Codes of one pass (steps + 1, rows, codewords), contiguous."""
        shape = (n_steps + 1, n_rows, self.drive.shape[1])
        return self.flat[: math.prod(shape)].reshape(shape)


class InnerLoop:
    """The inner loop for `n_rows` rows; buffers live as long as the object, for use batch after batch.

    Parameters
    ----------
    n_rows, n_codewords
        Shape of the code.
    dtype
        float64 or float32.
    threads
        Threads that share the work.
    part_rows
        Rows of a part; None: one part per thread, all kept.
    pass_steps
        Most steps run before the stop is looked at.
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
    ) -> None:
        self.given, self.rule, self.threads, self.pass_steps = rule, rule, threads, pass_steps
        self.parts = list(threads.shares(n_rows))
        if part_rows is not None:
            self.parts = [slice(a, min(a + part_rows, n_rows)) for a in range(0, n_rows, part_rows)]
        self.kept = len(self.parts) <= threads.n
        size = max(part.stop - part.start for part in self.parts)
        count = min(len(self.parts), threads.n)
        self.buffers = [_Buffers(size, n_codewords, pass_steps, np.dtype(dtype)) for _ in range(count)]
        self.states: tuple[np.ndarray, np.ndarray] | None = None
        self.v = self.first_v = first_subspace(n_codewords, np.dtype(dtype))
        self.n_expected = 2 * pass_steps

    @property
    def codes(self) -> np.ndarray:
        """Where a pass of a large set leaves its codes (n_rows, codewords)."""
        if self.states is None:
            raise ValueError("codes of a large set need `states` to live in")
        return self.states[1]

    # ------------------------------------------------------------ the loop

    def run(
        self,
        inputs: Inputs,
        dictionary: np.ndarray,
        finish: Finish,
        *,
        gram: np.ndarray | None = None,
        states: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Stop:
        """Encode all rows and hand every part's last two codes to `finish`.

        Parameters
        ----------
        inputs
            Gives the input (rows, units) of a slice of rows, already minus the mean.
        dictionary
            Phi (units, codewords).
        finish
            Called once a part with its rows and a view (2 or more, rows, codewords): the code before the last step, the
            code after it, and codes of further steps where some were run.
        gram
            Phi'Phi, where the caller has it.
        states
            Two arrays (n_rows, codewords) for the codes between passes, on disk if need be; needed with `part_rows`.

        Raises
        ------
        DivergedError
            If the code grows without limit or the input holds NaN.
        """
        self.inputs, self.dictionary, self.states = inputs, dictionary, states
        self.gram = gram = dictionary.T @ dictionary if gram is None else gram
        share = stable_share(gram, self.given.step) if self.given.shorten else 1.0
        self.rule = self.given if share == 1 else self.given.shortened(share)
        self.matrix = np.multiply(gram, -self.rule.step, dtype=gram.dtype)
        self.matrix.flat[:: len(gram) + 1] += 1
        self.n_done, self.start_norm, self.decay, self.v = 0, 0.0, 0.0, self.first_v
        self.code_top: np.ndarray | None = None
        self.change_top: np.ndarray | None = None
        while True:
            n_steps = min(self._plan(), self.rule.max_steps - self.n_done)
            self._advance(n_steps)
            last = self._first_stop(n_steps)
            converged = last is not None
            if last is None and self.n_done + n_steps == self.rule.max_steps:
                last = n_steps - 1
            if last is not None:
                self._finish(last, n_steps, finish)
                self.n_expected = self.n_done + last + 1
                return Stop(self.n_expected, converged, self.rule.step)
            self._commit(n_steps)

    def _advance(self, n_steps: int) -> None:
        self.sums = self._over_parts(lambda part, buffers: self._run_part(part, buffers, n_steps))
        largest = self.sums.squares.max()
        if not largest < math.sqrt(np.finfo(largest.dtype).max):
            norm = spectral.norm_of_gram(self.gram.astype(np.float64)) if np.isfinite(self.gram).all() else math.inf
            raise DivergedError(self.n_done + n_steps, self.rule.step, norm**2)
        self.norms: dict[int, float] = {0: self.start_norm}
        self.grams: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def _over_parts(self, work: Callable[[slice, _Buffers], Result]) -> Result:
        """Sum of what `work` returns for every part; each thread adds up its own, so that only sums are held."""
        n = len(self.buffers)

        def lane(i: int) -> Any:
            total: Any = None
            with np.errstate(over="ignore", invalid="ignore"):  # a code without bounds is looked for once per pass
                for part in self.parts[i::n]:
                    found: Any = work(part, self.buffers[i])
                    total = found if total is None else total + found
            return total

        first, *others = self.threads.map(lane, range(n))
        return sum(others, start=first)

    def _run_part(self, part: slice, buffers: _Buffers, n_steps: int) -> PassSums:
        v, kept = self.v, self.kept
        squares = np.empty(n_steps + 1, v.dtype)
        projected = np.empty((n_steps + 1, part.stop - part.start, v.shape[1]), v.dtype)

        def note(j: int, code: np.ndarray) -> None:
            squares[j] = np.vdot(code, code)
            np.matmul(code, v, out=projected[j])

        history = self._steps(part, buffers, n_steps, note)
        if not kept and self.states is not None:
            self.states[1][part] = history[-1]
        return summarise(history, squares, projected, v, keep=kept)

    def _steps(
        self, part: slice, buffers: _Buffers, n_steps: int, note: Callable[[int, np.ndarray], None] | None = None
    ) -> np.ndarray:
        """Codes of one pass; `note` sees each as soon as it is there, still in the cache."""
        n_rows = part.stop - part.start
        history = buffers.history(n_rows, n_steps)
        drive, work = buffers.drive[:n_rows], buffers.work[:n_rows]
        if self.n_done == 0 or not self.kept:
            np.matmul(self.inputs(part), self.dictionary, out=drive)
            np.multiply(drive, self.rule.step, out=drive)
        if self.n_done == 0:
            history[0] = 0
        elif not self.kept and self.states is not None:
            history[0] = self.states[0][part]
        if note is not None:
            note(0, history[0])
        for j in range(n_steps):
            after = history[j + 1]
            if self.n_done + j == 0:
                after[...] = drive
            else:
                np.matmul(history[j], self.matrix, out=after)
                after += drive
            soft_threshold(after, self.rule.sparsity, work)
            if note is not None:
                note(j + 1, after)
        return history

    def step(self, i: int, code: np.ndarray) -> np.ndarray:
        """One step of `code` (rows of part i, codewords), with the input of the last run; kept parts only."""
        after = code @ self.matrix
        after += self.buffers[i].drive[: len(after)]
        return soft_threshold(after, self.rule.sparsity)

    def _plan(self) -> int:
        """How many steps the next pass should have, so that a pass ends two steps past the stop.

        One of the two is for an estimate that is short, one for training, which takes one more step after the stop.
        """
        left = float(self.n_expected - self.n_done)
        if self.decay > 0:
            measured = max(math.log(self.last_ratio / self.rule.tolerance) / self.decay, 0)
            left = min(max(left, measured), 1.5 * measured + 1)
        left = left + 2 if left > 0 else self.pass_steps
        return max(math.ceil(left / math.ceil(left / self.pass_steps)), 2)

    def _commit(self, n_steps: int) -> None:
        """Go on from the end of the pass just run."""
        first, self.last_ratio = self.ratios[0], self.ratios[n_steps - 1]
        # Ratios are estimates only where the norms at both ends are known; else they are far below.
        known = n_steps in self.norms and first > self.last_ratio > 0
        self.decay = math.log(first / self.last_ratio) / (n_steps - 1) if known else 0.0
        self.v = next_subspace(self.sums.ahead, self.v)
        if self.n_done == 0:
            self.first_v = self.v
        self.n_done += n_steps
        self.start_norm = self.norms.get(n_steps, math.inf)
        if self.kept:
            self.threads.map(lambda i: self._carry_over(i, n_steps), range(len(self.parts)))
        elif self.states is not None:
            self.states = self.states[::-1]

    def _carry_over(self, i: int, n_steps: int) -> None:
        history = self._history(i, n_steps)
        history[0] = history[n_steps]

    def _history(self, i: int, n_steps: int) -> np.ndarray:
        return self.buffers[i].history(self.parts[i].stop - self.parts[i].start, n_steps)

    def _finish(self, last: int, n_steps: int, finish: Finish) -> None:
        def work(part: slice, buffers: _Buffers) -> int:
            kept = buffers.history(part.stop - part.start, n_steps)
            history = kept if self.kept else self._steps(part, buffers, last + 1)
            finish(part, history[last:])
            return 0

        self._over_parts(work)

    # ------------------------------------------------------------ when to stop

    def _first_stop(self, n_steps: int) -> int | None:
        """Index of the first step of this pass whose ratio is below eps; None if there is none."""
        eps = self.rule.eps
        least = self.rule.tolerance * (1 + spectral.margin(self.v.dtype))
        lower = np.sqrt(np.maximum(np.linalg.eigvalsh(self.sums.along)[:, -1], 0))
        upper = np.sqrt(self.sums.squares[:-1])
        self.ratios = lower / (eps + upper)
        for j in range(n_steps):
            if self.ratios[j] < least and n_steps not in self.norms:
                upper = np.minimum(upper, self._close_bounds(n_steps))
                self.ratios = lower / (eps + upper)
            if self.ratios[j] < least and self._stops(j, n_steps, float(upper[j])):
                return j
        return None

    def _close_bounds(self, n_steps: int) -> np.ndarray:
        """Upper bounds of the codes' norms; one thread takes the norm at the end, the others the products with it."""
        histories = [self._history(i, n_steps) for i in range(len(self.parts))] if self.kept else []
        if not math.isfinite(self.norms[0]):
            self._bound_norm(0, n_steps)
        work: list[Callable[[], Any]] = [partial(self._bound_norm, n_steps, n_steps)]
        work += [partial(end_products, history) for history in histories]
        _, *found = self.threads.map(lambda task: task(), work)
        products = self.sums.products if self.sums.products is not None else np.sum(found, axis=0)
        return line_bounds(self.sums.squares, products, self.norms[0], self.norms[n_steps])

    def _bound_norm(self, j: int, n_steps: int) -> None:
        self.norms[j], self.code_top = spectral.upper_norm(self._code_gram(j, n_steps), self.code_top)

    def _stops(self, j: int, n_steps: int, code_high: float) -> bool:
        """Whether step j of this pass meets the rule, given an upper bound of the norm of the code before it."""
        eps, tolerance = self.rule.eps, self.rule.tolerance
        change = self._change_gram(j, n_steps)
        least, most = (tolerance * (eps + norm) for norm in (self._code_low(j, n_steps), code_high))
        found, self.change_top = proven_side(change, least, most, self.change_top)
        if found is not None:
            return found
        if not self.kept:
            code_norm = spectral.norm_of_gram(self._code_gram(j, n_steps))
            return spectral.norm_of_gram(change) / (eps + code_norm) < tolerance
        before, after = self._codes(j, n_steps, np.float64), self._codes(j + 1, n_steps, np.float64)
        change_norm, code_norm = (
            spectral.norm_of_gram(g) for g in self.threads.map(spectral.gram, [after - before, before])
        )
        ratio = change_norm / (eps + code_norm)
        if abs(ratio / tolerance - 1) <= spectral.margin(before.dtype):
            ratio = float(np.linalg.norm(after - before, 2) / (eps + np.linalg.norm(before, 2)))
        return ratio < tolerance

    def _codes(self, j: int, n_steps: int, dtype: type) -> np.ndarray:
        return np.concatenate([self._history(i, n_steps)[j] for i in range(len(self.parts))], dtype=dtype)

    def _code_low(self, j: int, n_steps: int) -> float:
        """Lower bound of the norm of a code: along the top vector of the code at the end of the pass."""
        if not self.kept:
            return spectral.lower_norm(self._code_gram(j, n_steps), self.code_top)[0]
        found = []
        if self.code_top is not None and len(self.code_top) == self.parts[-1].stop:
            found = [self.code_top[part] @ self._history(i, n_steps)[j] for i, part in enumerate(self.parts)]
        return float(np.linalg.norm(np.sum(found, axis=0))) if found else 0.0

    def _code_gram(self, j: int, n_steps: int) -> np.ndarray:
        if self.kept:
            return spectral.gram(self._codes(j, n_steps, np.float32))
        if j == n_steps and self.sums.end is not None:
            return self.sums.end
        return self._gathered(j, n_steps)[1]

    def _change_gram(self, j: int, n_steps: int) -> np.ndarray:
        if not self.kept:
            return self._gathered(j, n_steps)[0]
        histories = (self._history(i, n_steps) for i in range(len(self.parts)))
        # Half the work in float32; where its margin does not do, float64 decides.
        return spectral.gram(np.concatenate([h[j + 1] - h[j] for h in histories], dtype=np.float32))

    def _gathered(self, j: int, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        if j not in self.grams:
            self._gather_grams(j, n_steps)
        return self.grams[j]

    def _gather_grams(self, start: int, n_steps: int) -> None:
        """Run the pass again and add up the Gram matrices of some of its steps, from `start` on."""
        stop = min(start + GATHERED_STEPS, n_steps)

        def of_part(part: slice, buffers: _Buffers) -> np.ndarray:
            history = self._steps(part, buffers, stop)
            changes = (history[j + 1] - history[j] for j in range(start, stop))
            return np.array([[d.T @ d, r.T @ r] for d, r in zip(changes, history[start:stop], strict=True)])

        total = self._over_parts(of_part)
        self.grams |= {start + i: (pair[0], pair[1]) for i, pair in enumerate(total)}
