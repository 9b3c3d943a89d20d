"""Settings of the reconstruction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from distspc.kernels import threads
from distspc.kernels.sparse_coding import passes
from distspc.kernels.sparse_coding import training as kernel
from distspc.kernels.sparse_coding.iteration import Rule
from distspc.store.scaling import Scaling

Solver = Literal["paper", "converged", "pca"]
Step = Literal["stable", "paper"]
TrainOn = Literal["all", "fillers"]

SOLVERS: tuple[Solver, ...] = get_args(Solver)
STEPS: tuple[Step, ...] = get_args(Step)
TRAIN_ON: tuple[TrainOn, ...] = get_args(TrainOn)


@dataclass(frozen=True)
class Held:
    """What fitting a seed holds in memory.

    Attributes
    ----------
    nbytes
        In all.
    keep
        Whether the codes of a whole pass are among it, see `kernels.sparse_coding.training.encode`.
    on_disk
        Whether what grows with the number of images is not.
    """

    nbytes: int
    keep: bool
    on_disk: bool


@dataclass(frozen=True)
class ReconstructionOptions:
    """What makes the numbers of a layer and a seed; its fields are the stored recipe, its defaults the paper's.

    Attributes
    ----------
    n_units, n_codewords, n_batches, batch_size, sparsity
        Size of the model and its training.
    train_on
        Images of which batches are drawn.
    precision
        Type of the arithmetic.
    solver, step
        What encodes the images, and its step.
    scaling
        How features are scaled before units are taken of them.
    """

    n_units: int = 1000
    n_codewords: int = 500
    n_batches: int = 1000
    batch_size: int = 250
    sparsity: float = 1e-3
    train_on: TrainOn = "all"
    precision: kernel.Precision = "float64"
    solver: Solver = "paper"
    step: Step = "stable"
    scaling: Scaling = "none"

    @property
    def rule(self) -> Rule:
        """Constants of the inner loop."""
        return Rule(sparsity=self.sparsity, shorten=self.step == "stable")

    @property
    def task_nbytes(self) -> int:
        """Bytes that fitting needs in this process whatever the number of images."""
        return self.fit_nbytes(threads.allowed_threads())

    def fit_nbytes(self, n_threads: int, *, keep: bool = False) -> int:
        """Bytes that fitting needs on some threads whatever the number of images; passes are kept or run again."""
        size = np.dtype(self.precision).itemsize
        k, units, gathered = self.n_codewords, self.n_units, 2 * passes.GATHERED_STEPS * self.n_codewords**2
        training = self.batch_size * (14 * k + 3 * units) + 4 * k**2
        # Gram matrices of a part and their sum, by thread; of passes that are run again of some steps at a time, and
        # beside those of the steps looked at before.
        part = kernel.PART_ROWS * (3 * k + 3 * units) + 2 * k**2
        if not keep:
            part += kernel.PART_ROWS * (kernel.PASS_STEPS + 2) * k + 2 * (gathered - k**2)
        encoding = n_threads * part + (0 if keep else gathered) + 6 * k**2
        covariance = 3 * units**2 if self.solver == "pca" else 0
        working = max(training, encoding) + covariance
        return size * (4 * self.n_units * self.n_codewords + working)

    def held(self, n_images: int, memory_nbytes: float | None, n_threads: int | None = None) -> Held:
        """What fitting a seed holds, given the memory that it may take, None if there is no limit.

        It runs on as many threads as this process may use, or on `n_threads`.
        """
        limit, n_threads = math.inf if memory_nbytes is None else memory_nbytes, n_threads or threads.allowed_threads()
        code = np.dtype(self.precision).itemsize * n_images * self.n_codewords
        units, kept = 4 * n_images * self.n_units, kernel.kept_nbytes(n_images, self.n_codewords, self.precision)
        keeping = self.fit_nbytes(n_threads, keep=True) + units + code + kept
        if self.solver == "paper" and kept <= kernel.KEPT_NBYTES and keeping <= limit:
            return Held(keeping, keep=True, on_disk=False)
        least = self.fit_nbytes(n_threads)
        on_disk = least + units + 2 * code > limit
        return Held(least if on_disk else least + units + 2 * code, keep=False, on_disk=on_disk)
