"""The sparse-coding model of the method: draw, scale, train, reconstruct (NumPy in, NumPy out).

`method.md`, section 4; Lin, Li, Lafferty & Yildirim (2024), doi 10.1038/s41562-024-01870-3; the model is that of
Olshausen & Field (1996). Symbols are the paper's: Phi (units, codewords) the dictionary, r (rows, codewords) the code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from distspc.kernels.sparse_coding.inner_loop import DivergedError, InnerLoop, Stop
from distspc.kernels.sparse_coding.iteration import PAPER, Rule
from distspc.kernels.sparse_coding.passes import PartBuffers
from distspc.kernels.sparse_coding.principal_components import first_component_share
from distspc.kernels.threads import Threads, single_threaded_blas

Precision = Literal["float64", "float32"]
Allocate = Callable[[tuple[int, ...], str], np.ndarray]

LEARNING_STEP = 1e-2
NORM_FLOOR = 1e-8
PART_ROWS = 256
"""Rows of one part of a large set: its codes of one step (1 MB in float64) stay in a core's cache."""
PASS_STEPS = 8
"""Most steps of a pass of a large set whose codes are not kept; where they are, see `KEPT_STEPS`."""
KEPT_STEPS = 6
KEPT_NBYTES = 2**30
"""Most memory for the codes of a pass of a large set."""


@dataclass(frozen=True)
class Trained:
    """A dictionary and how its training went, batch by batch."""

    dictionary: np.ndarray
    """(units, codewords), as training left it: not rescaled after the last step."""
    training_error: np.ndarray
    """(batches,) mean squared residual."""
    n_steps: np.ndarray
    """(batches,) inner steps."""
    converged: np.ndarray
    """(batches,) bool; a batch that did not converge made no dictionary step."""
    step: np.ndarray
    """(batches,) length of the inner steps: the rule's, or shorter where that is not stable."""


# ---------------------------------------------------------------- draw and scale


def draw_units(rng: np.random.RandomState, n_features: int, n_units: int) -> np.ndarray:
    """Feature indices (n_units,) drawn without replacement: the first draw of a seed."""
    return rng.choice(n_features, n_units, replace=False)


def draw_dictionary(rng: np.random.RandomState, n_units: int, n_codewords: int) -> np.ndarray:
    """Random first dictionary (n_units, n_codewords), drawn in float32, then float64: the second draw of a seed."""
    return rng.randn(n_units, n_codewords).astype(np.float32) * np.float64(np.sqrt(1 / n_codewords))


# ---------------------------------------------------------------- train


def train(
    x: np.ndarray,
    dictionary: np.ndarray,
    rng: np.random.RandomState,
    *,
    n_batches: int = 1000,
    batch_size: int = 250,
    rule: Rule = PAPER,
    precision: Precision = "float64",
    n_threads: int | None = None,
    each_batch: Callable[[int, Stop], None] | None = None,
) -> Trained:
    """Learn a dictionary, as the method says.

    Parameters
    ----------
    x
        Scaled units (rows, units), float32; rows of a batch are drawn from these, with replacement.
    dictionary
        First dictionary (units, codewords).
    rng
        Generator; one draw ``choice(rows, batch_size)`` is taken from it per batch.
    n_batches, batch_size
        Number of batches; rows of a batch.
    rule
        Constants of the inner loop.
    precision
        Type of all arithmetic; the method's is float64.
    n_threads
        Threads; as many as BLAS may use by default.
    each_batch
        Is told the number of each batch, from 0, and how its inner loop ended.

    Raises
    ------
    DivergedError
        If a code grows without limit; names the batch, the norm of the dictionary, its bound, and how much of the
        variance lies along one direction, which is what makes that norm large.
    """
    error, step, n_steps = np.zeros(n_batches), np.zeros(n_batches), np.zeros(n_batches, np.int64)
    converged = np.zeros(n_batches, bool)
    with single_threaded_blas(n_threads) as n_threads, Threads(n_threads) as threads:
        trainer = _Trainer(x, dictionary, batch_size, rule, np.dtype(precision), threads)
        for i in range(n_batches):
            try:
                error[i], stop = trainer.batch(rng.choice(len(x), batch_size))
            except DivergedError as problem:
                raise problem.within(f"training batch {i + 1} of {n_batches}", first_component_share(x)) from None
            n_steps[i], converged[i], step[i] = stop.n_steps, stop.converged, stop.step
            if each_batch is not None:
                each_batch(i, stop)
    return Trained(trainer.dictionary.astype(np.float64), error, n_steps, converged, step)


class _Trainer:
    """The dictionary and the buffers that training needs, batch after batch."""

    def __init__(
        self, x: np.ndarray, dictionary: np.ndarray, batch_size: int, rule: Rule, dtype: np.dtype, threads: Threads
    ) -> None:
        n_units, n_codewords = dictionary.shape
        self.x, self.rule, self.threads = x, rule, threads
        self.dictionary = np.array(dictionary, dtype, order="C")
        self.loop = InnerLoop(batch_size, n_codewords, dtype=dtype, rule=rule, threads=threads)
        self.input = np.empty((batch_size, n_units), dtype)
        self.residual = np.empty((batch_size, n_units), dtype)
        self.code = np.empty((batch_size, n_codewords), dtype)
        self.codes: dict[int, Sequence[np.ndarray]] = {}
        self.units = threads.shares(n_units)

    def batch(self, rows: np.ndarray) -> tuple[float, Stop]:
        """One batch: encode, and if that converged, one more step of the code and one of the dictionary."""
        batch = self.x[rows]
        np.subtract(batch, batch.mean(), out=batch)
        self.input[...] = batch
        gram = self._rescale()
        stop, _ = self.loop.run(self.input.__getitem__, self.dictionary, self._keep, gram=gram, one_more=True)
        squares = self.threads.map(self._settle if stop.converged else self._leave, range(len(self.loop.parts)))
        if stop.converged:
            self.code *= LEARNING_STEP
            self.threads.map(self._learn, self.units)
        return float(sum(squares)) / self.residual.size, stop

    def _rescale(self) -> np.ndarray:
        """Scale codewords to unit norm (floored), in place; return Phi'Phi."""

        def squares(units: slice) -> np.ndarray:
            return np.einsum("uk,uk->k", self.dictionary[units], self.dictionary[units])

        def gram(units: slice) -> np.ndarray:
            part = self.dictionary[units]
            part /= norms
            return part.T @ part

        norms = np.maximum(np.sqrt(sum(self.threads.map(squares, self.units))), NORM_FLOOR)
        found = self.threads.map(gram, self.units)
        return sum(found[1:], start=found[0])

    def _keep(self, rows: slice, codes: Sequence[np.ndarray]) -> None:
        self.codes[rows.start] = codes

    def _settle(self, i: int) -> float:
        """Take the code of part i one step past the stop, and its residual; return the sum of squares of that."""
        rows = self.loop.parts[i]
        self.code[rows] = self.codes[rows.start][2]
        return self._reconstruct(rows, self.code[rows])

    def _leave(self, i: int) -> float:
        """Residual of a code that did not converge: the method's is that of the code before the last step."""
        rows = self.loop.parts[i]
        return self._reconstruct(rows, self.codes[rows.start][0])

    def _reconstruct(self, rows: slice, code: np.ndarray) -> float:
        residual = self.residual[rows]
        np.matmul(code, self.dictionary.T, out=residual)
        np.subtract(self.input[rows], residual, out=residual)
        return float(np.vdot(residual, residual))

    def _learn(self, units: slice) -> None:
        self.dictionary[units] += self.residual[:, units].T @ self.code


# ---------------------------------------------------------------- encode and reconstruct


def scalar_mean(x: np.ndarray) -> np.floating:
    """The one mean over all rows and units of `x` that is taken off before they are encoded, in the type of `x`."""
    mean: np.floating = x.dtype.type(x.mean())
    return mean


def kept_nbytes(n_rows: int, n_codewords: int, precision: str) -> int:
    """Bytes of all codes of a pass, so that no pass has to be run again."""
    return PartBuffers.nbytes(n_rows, n_codewords, KEPT_STEPS, np.dtype(precision))


def encode(
    x: np.ndarray,
    dictionary: np.ndarray,
    *,
    rule: Rule = PAPER,
    precision: Precision = "float64",
    n_threads: int | None = None,
    part_rows: int = PART_ROWS,
    keep: bool | None = None,
    allocate: Allocate = np.zeros,
) -> tuple[np.ndarray, np.ndarray, Stop]:
    """Code of all rows at once and its reconstruction error, in bounded memory.

    One scalar mean over all of `x` is subtracted, and all rows stop together, at the step where the whole code meets
    the rule, however many parts they are cut into.

    Parameters
    ----------
    x
        Scaled units (rows, units), float32; may be a memory map.
    dictionary
        Phi (units, codewords), taken as it is.
    rule, precision, n_threads
        As for `train`.
    part_rows
        Rows that go through the products together.
    keep
        Whether the codes of a pass stay in memory (`kept_nbytes`), which saves two fifths of the work; None: where that
        is no more than `KEPT_NBYTES`. It changes no number.
    allocate
        Makes an array of a shape and type for the codes; called twice, or once if a pass is kept. Memory maps keep them
        on disk.

    Returns
    -------
    code : ndarray (rows, codewords)
        After the last step.
    error : ndarray (rows,), float64
        Mean over units of the squared residual of the code *before* its last step, which is what the method takes.
    stop : Stop
        Number of steps, and whether the rule was met.

    Raises
    ------
    DivergedError
        If the code grows without limit; see `train`.
    """
    dtype = np.dtype(precision)
    phi = np.ascontiguousarray(dictionary, dtype)
    mean = scalar_mean(x)
    error = np.empty(len(x))

    def inputs(rows: slice) -> np.ndarray:
        return np.asarray(x[rows] - mean, dtype)

    shape = (len(x), phi.shape[1])
    if keep is None:
        keep = kept_nbytes(*shape, precision) <= KEPT_NBYTES
    code = allocate(shape, precision)
    states = code, code if keep else allocate(shape, precision)

    def finish(rows: slice, codes: Sequence[np.ndarray]) -> None:
        residual = inputs(rows) - codes[0] @ phi.T
        error[rows] = np.einsum("ru,ru->r", residual, residual) / residual.shape[1]

    with single_threaded_blas(n_threads) as n_threads, Threads(n_threads) as threads:
        loop = InnerLoop(
            *shape,
            dtype=dtype,
            rule=rule,
            threads=threads,
            part_rows=part_rows,
            pass_steps=KEPT_STEPS if keep else PASS_STEPS,
            keep=keep,
        )
        try:
            stop, codes = loop.run(inputs, phi, finish, states=states)
        except DivergedError as problem:
            raise problem.within("code of all images", first_component_share(x)) from None
    return np.asanyarray(codes), error, stop
