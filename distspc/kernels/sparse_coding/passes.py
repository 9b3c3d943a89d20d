"""Passes of the inner loop: some steps of all rows at a time, and what is left of them.

Rows are cut into parts, each of which one thread takes through a pass while its codes are in the cache. There are two
ways to have the inside of a pass when the stop is looked for:

- `KeptParts`: every part has memory of its own, where its drive and all its codes of the pass stay;
- `RerunParts`: nothing but the codes at the start of the pass is kept, and sums over its rows; the pass is run again
  where more is needed. That takes any number of parts in bounded memory, and some two thirds more work.

Either answers the same questions about a `Pass`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from distspc.kernels.sparse_coding import spectral
from distspc.kernels.sparse_coding.iteration import Iteration
from distspc.kernels.sparse_coding.stopping import (
    PassSums,
    end_products,
    inner_product,
    line_bounds,
    n_roundings,
    summarise,
)
from distspc.kernels.threads import Threads

GATHERED_STEPS = 4
"""Steps of a pass whose Gram matrices are held at a time: two of (codewords, codewords) each."""

Result = TypeVar("Result")
Finish = Callable[[slice, Sequence[np.ndarray]], None]
States = tuple[np.ndarray, np.ndarray]
Margin = Callable[[np.dtype], float]
OfHistory = Callable[[np.ndarray], np.ndarray]
"""Takes rows (rows, codewords) from the codes of a part (steps + 1, rows, codewords)."""


@dataclass(frozen=True)
class Pass:
    """Some steps of all rows, and what is known of them.

    Attributes
    ----------
    first, n_steps
        Number of steps before this pass, and in it.
    sums
        Sums over all rows.
    start_norm, end_norm
        Upper bounds of the norms of the codes it starts from and ends with; infinite where nothing is known.
    change_grams, code_grams
        Gram matrices by step: of the change of the code, and of the code before it.
    """

    first: int
    n_steps: int
    sums: PassSums
    start_norm: float
    end_norm: float = math.inf
    change_grams: Mapping[int, np.ndarray] = field(default_factory=dict)
    code_grams: Mapping[int, np.ndarray] = field(default_factory=dict)


@dataclass
class PowerVectors:
    """Vectors that power iterations start from: those found for the last matrix, which is close to the next.

    Attributes
    ----------
    margin
        See `spectral.rounding_margin`.
    code, change
        Of the Gram matrices of a code, and of the change of a code.
    """

    margin: Margin
    code: np.ndarray | None = None
    change: np.ndarray | None = None

    def upper_norm(self, code_gram: np.ndarray, error: float) -> float:
        """Upper bound of the norm of a code, given its Gram matrix and the most that its eigenvalues are off."""
        margin = self.margin(np.dtype(np.float64))
        norm, self.code = spectral.upper_norm(code_gram, self.code, error=error, margin=margin)
        return norm


class PartBuffers:
    """What one part needs for a pass: the code after every step, the drive b, and scratch that a thread's parts share.

    Parameters
    ----------
    n_rows, n_steps
        Most rows of the part and steps of a pass.
    work
        The scratch, (n_rows or more, codewords).
    """

    def __init__(self, n_rows: int, n_steps: int, work: np.ndarray) -> None:
        n_codewords = work.shape[1]
        self.flat = np.empty((n_steps + 1) * n_rows * n_codewords, work.dtype)
        self.drive = np.empty((n_rows, n_codewords), work.dtype)
        self.work = work

    @staticmethod
    def nbytes(n_rows: int, n_codewords: int, n_steps: int, dtype: np.dtype) -> int:
        """Bytes of the codes of a pass and the drive of some rows."""
        return (n_steps + 2) * n_rows * n_codewords * dtype.itemsize

    def history(self, n_rows: int, n_steps: int) -> np.ndarray:
        """Codes of one pass (steps + 1, rows, codewords), contiguous."""
        shape = (n_steps + 1, n_rows, self.drive.shape[1])
        return self.flat[: math.prod(shape)].reshape(shape)


class Parts(ABC):
    """The parts of one run of the inner loop.

    Parameters
    ----------
    iteration
        What a step does.
    parts
        Slices of the rows.
    buffers
        One a part, or as many as threads work at a time: part i takes number i modulo their count.
    threads
        Threads that share the parts.
    states
        Two arrays (n_rows, codewords) for codes, or None: those at the start of a pass, and those at its end.
    """

    def __init__(
        self,
        iteration: Iteration,
        parts: Sequence[slice],
        buffers: Sequence[PartBuffers],
        threads: Threads,
        states: States | None,
    ) -> None:
        self.iteration, self.parts, self.buffers, self.threads, self.states = iteration, parts, buffers, threads, states

    @abstractmethod
    def run(self, first: int, n_steps: int, v: np.ndarray, start_norm: float) -> Pass:
        """Run a pass from where the last one ended; `v` (codewords, p) is the subspace that it is projected to."""

    @abstractmethod
    def with_close_bounds(self, one: Pass, vectors: PowerVectors) -> tuple[Pass, np.ndarray]:
        """The pass with the norms at its ends, and upper bounds (n_steps,) of the norms of its codes from these."""

    @abstractmethod
    def with_grams(self, one: Pass, j: int) -> Pass:
        """The pass with the Gram matrices of step j, as far as these parts have use for them."""

    @abstractmethod
    def gram_error(self, gram: np.ndarray) -> float:
        """Most that the largest eigenvalue of a Gram matrix of these parts is off."""

    @abstractmethod
    def lower_norm(self, one: Pass, j: int, vectors: PowerVectors) -> float:
        """Lower bound of the norm of the code before step j."""

    @abstractmethod
    def meets_rule(self, one: Pass, j: int, margin: Margin) -> bool:
        """Whether step j meets the rule, where bounds do not tell."""

    @abstractmethod
    def go_on(self, one: Pass) -> None:
        """Start the next pass from the end of this one."""

    @abstractmethod
    def finish(self, one: Pass, last: int, finish: Finish, *, one_more: bool = False) -> None:
        """Hand the codes from that before step `last` on to `finish`, part by part; see `InnerLoop.run`."""

    def _line_bounds(self, one: Pass, products: np.ndarray, start_norm: float, end_norm: float) -> np.ndarray:
        n_summed = n_roundings(len(self.iteration.gram), len(self.parts))
        return line_bounds(one.sums.squares, products, start_norm, end_norm, n_summed=n_summed)

    def _sum_over_parts(self, work: Callable[[slice, PartBuffers], Result]) -> Result:
        """Sum of what `work` returns for every part; each thread adds up its own, so that only sums are held."""
        n = min(len(self.parts), self.threads.n)

        def lane(first: int) -> Any:
            total: Any = None
            with np.errstate(over="ignore", invalid="ignore"):  # a code without bounds is looked for once per pass
                for i in range(first, len(self.parts), n):
                    found: Any = work(self.parts[i], self.buffers[i % len(self.buffers)])
                    if total is None:
                        total = found
                    else:
                        total += found  # in place, of arrays
            return total

        first, *others = self.threads.map(lane, range(n))
        return sum(others, start=first)

    @abstractmethod
    def _begin(self, part: slice, first: int, code: np.ndarray, drive: np.ndarray) -> None:
        """See to it that `code` and `drive` are those of the start of a pass after `first` steps."""

    def _steps(
        self,
        part: slice,
        buffers: PartBuffers,
        first: int,
        n_steps: int,
        see: Callable[[int, np.ndarray], None] | None = None,
    ) -> np.ndarray:
        """Codes of one pass; `see` gets each as soon as it is there, still in the cache."""
        n_rows = part.stop - part.start
        history = buffers.history(n_rows, n_steps)
        drive, work = buffers.drive[:n_rows], buffers.work[:n_rows]
        self._begin(part, first, history[0], drive)
        if see is not None:
            see(0, history[0])
        for j in range(n_steps):
            if first + j == 0:
                self.iteration.first_step(drive, history[j + 1], work)
            else:
                self.iteration.step(history[j], drive, history[j + 1], work)
            if see is not None:
                see(j + 1, history[j + 1])
        return history

    def _summed_steps(
        self, part: slice, buffers: PartBuffers, first: int, n_steps: int, v: np.ndarray, *, keep: bool
    ) -> tuple[np.ndarray, PassSums]:
        squares = np.empty(n_steps + 1, v.dtype)
        projected = np.empty((n_steps + 1, part.stop - part.start, v.shape[1]), v.dtype)

        def see(j: int, code: np.ndarray) -> None:
            squares[j] = inner_product(code, code)
            np.matmul(code, v, out=projected[j])

        history = self._steps(part, buffers, first, n_steps, see)
        return history, summarise(history, squares, projected, v, keep=keep)

    def _hand_over(
        self, part: slice, buffers: PartBuffers, history: np.ndarray, last: int, finish: Finish, one_more: bool
    ) -> None:
        codes = list(history[last:])
        if one_more and len(codes) < 3:
            more = np.empty_like(codes[-1])
            self.iteration.step(codes[-1], buffers.drive[: len(more)], more)
            codes.append(more)
        if self.states is not None:
            self.states[1][part] = codes[1]
        finish(part, codes)


class KeptParts(Parts):
    """Parts that each have buffers of their own, where all codes of a pass stay.

    Gram matrices are on the shorter side: of fewer rows than codewords from all codes put together, of more as a sum
    over the parts. They are in float32, half the work; where its error does not do, float64 decides.
    """

    def run(self, first: int, n_steps: int, v: np.ndarray, start_norm: float) -> Pass:
        """See `Parts`."""

        def of_part(part: slice, buffers: PartBuffers) -> PassSums:
            return self._summed_steps(part, buffers, first, n_steps, v, keep=True)[1]

        return Pass(first, n_steps, self._sum_over_parts(of_part), start_norm)

    def with_close_bounds(self, one: Pass, vectors: PowerVectors) -> tuple[Pass, np.ndarray]:
        """See `Parts`; one thread takes the norm at the end, the others the products with it."""

        def upper_norm(j: int) -> float:
            gram = self._gram(one, partial(_code, j), np.float32)
            return vectors.upper_norm(gram, self.gram_error(gram))

        start_norm = one.start_norm if math.isfinite(one.start_norm) else upper_norm(0)
        work: list[Callable[[], Any]] = [partial(upper_norm, one.n_steps)]
        work += [partial(end_products, history) for history in self._histories(one)]
        end_norm, *products = self.threads.map(lambda job: job(), work)
        bounds = self._line_bounds(one, np.sum(products, axis=0), start_norm, end_norm)
        return replace(one, start_norm=start_norm, end_norm=end_norm), bounds

    def with_grams(self, one: Pass, j: int) -> Pass:
        """See `Parts`; that of the code itself is not needed."""
        return replace(one, change_grams={j: self._gram(one, partial(_change, j), np.float32)})

    def gram_error(self, gram: np.ndarray) -> float:
        """See `Parts`: of all rows at once, or summed over parts."""
        if self._few_rows:
            return spectral.gram_error(gram, max(self.parts[-1].stop, len(self.iteration.gram)))
        return spectral.gram_error(gram, max(part.stop - part.start for part in self.parts) + len(self.parts))

    def lower_norm(self, one: Pass, j: int, vectors: PowerVectors) -> float:
        """See `Parts`: along the top vector of the code at the end of the pass."""
        top = vectors.code
        if top is None:
            return 0.0
        histories = self._histories(one)
        if self._few_rows:
            along = [top[part] @ history[j] for part, history in zip(self.parts, histories, strict=True)]
            return float(np.linalg.norm(np.sum(along, axis=0)))
        return float(np.linalg.norm(np.concatenate([history[j] @ top for history in histories])))

    def meets_rule(self, one: Pass, j: int, margin: Margin) -> bool:
        """See `Parts`: by eigenvalues, or by the singular values of the definition where these are too close."""
        rule = self.iteration.rule
        matrices = partial(_change, j), partial(_code, j)
        change_norm, code_norm = (spectral.norm_of_gram(self._gram(one, of, np.float64)) for of in matrices)
        ratio = change_norm / (rule.eps + code_norm)
        if abs(ratio / rule.tolerance - 1) <= margin(np.dtype(np.float64)):
            change_norm, code_norm = (float(np.linalg.norm(self._whole(one, of, np.float64), 2)) for of in matrices)
            ratio = change_norm / (rule.eps + code_norm)
        return ratio < rule.tolerance

    def go_on(self, one: Pass) -> None:
        """See `Parts`."""

        def carry_over(history: np.ndarray) -> None:
            history[0] = history[one.n_steps]

        self.threads.map(carry_over, self._histories(one))

    def finish(self, one: Pass, last: int, finish: Finish, *, one_more: bool = False) -> None:
        """See `Parts`."""

        def of_part(part: slice, buffers: PartBuffers) -> int:
            history = buffers.history(part.stop - part.start, one.n_steps)
            self._hand_over(part, buffers, history, last, finish, one_more)
            return 0

        self._sum_over_parts(of_part)

    def _begin(self, part: slice, first: int, code: np.ndarray, drive: np.ndarray) -> None:
        if first == 0:
            self.iteration.drive(part, drive)
            code[...] = 0

    def _histories(self, one: Pass) -> list[np.ndarray]:
        return [
            buffers.history(part.stop - part.start, one.n_steps)
            for part, buffers in zip(self.parts, self.buffers, strict=True)
        ]

    @property
    def _few_rows(self) -> bool:
        return self.parts[-1].stop < len(self.iteration.gram)

    def _whole(self, one: Pass, of: OfHistory, dtype: type) -> np.ndarray:
        return np.concatenate([of(history) for history in self._histories(one)], dtype=dtype)

    def _gram(self, one: Pass, of: OfHistory, dtype: type) -> np.ndarray:
        """Gram matrix of what `of` takes from the codes of all parts."""
        if self._few_rows:
            return spectral.gram(self._whole(one, of, dtype))
        histories = self._histories(one)

        def lane(i: int) -> np.ndarray:
            found: np.ndarray = np.zeros_like(self.iteration.gram, dtype)
            for history in histories[i :: self.threads.n]:
                rows: np.ndarray = of(history).astype(dtype, copy=False)
                found += rows.T @ rows
            return found

        first, *others = self.threads.map(lane, range(min(self.threads.n, len(histories))))
        return sum(others, start=first)


def _code(j: int, history: np.ndarray) -> np.ndarray:
    return history[j]


def _change(j: int, history: np.ndarray) -> np.ndarray:
    return history[j + 1] - history[j]


class RerunParts(Parts):
    """Parts of which nothing but the codes at the start of a pass is kept, in `states`."""

    states: States

    def __init__(
        self,
        iteration: Iteration,
        parts: Sequence[slice],
        buffers: Sequence[PartBuffers],
        threads: Threads,
        states: States | None,
    ) -> None:
        if states is None:
            raise ValueError(f"{len(parts)} parts whose codes are not kept need `states` for these to live in")
        super().__init__(iteration, parts, buffers, threads, states)

    def run(self, first: int, n_steps: int, v: np.ndarray, start_norm: float) -> Pass:
        """See `Parts`."""

        def of_part(part: slice, buffers: PartBuffers) -> PassSums:
            history, sums = self._summed_steps(part, buffers, first, n_steps, v, keep=False)
            self.states[1][part] = history[-1]
            return sums

        return Pass(first, n_steps, self._sum_over_parts(of_part), start_norm)

    def with_close_bounds(self, one: Pass, vectors: PowerVectors) -> tuple[Pass, np.ndarray]:
        """See `Parts`."""
        end_gram, products = one.sums.end_gram, one.sums.end_products
        if end_gram is None or products is None:
            raise ValueError("sums of parts that are run again hold the Gram matrix and the products of their end")
        if not math.isfinite(one.start_norm):
            one = self.with_grams(one, 0)
            gram = one.code_grams[0]
            one = replace(one, start_norm=vectors.upper_norm(gram, self.gram_error(gram)))
        one = replace(one, end_norm=vectors.upper_norm(end_gram, self.gram_error(end_gram)))
        return one, self._line_bounds(one, products, one.start_norm, one.end_norm)

    def with_grams(self, one: Pass, j: int) -> Pass:
        """See `Parts`: the pass is run again, and some steps from j on are added up at a time."""
        if j in one.code_grams:
            return one
        stop = min(j + GATHERED_STEPS, one.n_steps)

        def grams(part: slice, buffers: PartBuffers) -> np.ndarray:
            history = self._steps(part, buffers, one.first, stop)
            n_codewords = history.shape[2]
            found = np.empty((stop - j, 2, n_codewords, n_codewords), history.dtype)
            for i, (of_change, of_code) in enumerate(found, start=j):
                code, change = history[i], history[i + 1] - history[i]
                np.matmul(change.T, change, out=of_change)
                np.matmul(code.T, code, out=of_code)
            return found

        pairs = dict(enumerate(self._sum_over_parts(grams), start=j))
        return replace(
            one,
            change_grams={**one.change_grams, **{i: pair[0] for i, pair in pairs.items()}},
            code_grams={**one.code_grams, **{i: pair[1] for i, pair in pairs.items()}},
        )

    def gram_error(self, gram: np.ndarray) -> float:
        """See `Parts`: summed over parts."""
        return spectral.gram_error(gram, max(part.stop - part.start for part in self.parts) + len(self.parts))

    def lower_norm(self, one: Pass, j: int, vectors: PowerVectors) -> float:
        """See `Parts`."""
        gram = one.code_grams[j]
        low, _ = spectral.lower_norm(gram, vectors.code)
        return math.sqrt(max(low**2 - self.gram_error(gram), 0))

    def meets_rule(self, one: Pass, j: int, margin: Margin) -> bool:
        """See `Parts`: by eigenvalues."""
        rule = self.iteration.rule
        code_norm = spectral.norm_of_gram(one.code_grams[j])
        return spectral.norm_of_gram(one.change_grams[j]) / (rule.eps + code_norm) < rule.tolerance

    def go_on(self, one: Pass) -> None:
        """See `Parts`."""
        self.states = self.states[::-1]

    def finish(self, one: Pass, last: int, finish: Finish, *, one_more: bool = False) -> None:
        """See `Parts`."""

        def of_part(part: slice, buffers: PartBuffers) -> int:
            history = self._steps(part, buffers, one.first, last + 1)
            self._hand_over(part, buffers, history, last, finish, one_more)
            return 0

        self._sum_over_parts(of_part)

    def _begin(self, part: slice, first: int, code: np.ndarray, drive: np.ndarray) -> None:
        self.iteration.drive(part, drive)
        code[...] = 0 if first == 0 else self.states[0][part]
