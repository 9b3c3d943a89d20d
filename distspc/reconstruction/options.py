"""Settings of the reconstruction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from distspc.kernels import threads
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
        """Bytes that fitting needs whatever the number of images."""
        size = np.dtype(self.precision).itemsize
        batch = self.batch_size * (14 * self.n_codewords + 3 * self.n_units)
        model = 4 * self.n_units * self.n_codewords + 4 * self.n_codewords**2
        covariance = 3 * self.n_units**2 if self.solver == "pca" else 0
        parts = kernel.PART_ROWS * ((kernel.PASS_STEPS + 3) * self.n_codewords + 2 * self.n_units)
        return size * (batch + model + covariance + parts * threads.allowed_threads())

    def held(self, n_images: int, memory_nbytes: float | None) -> Held:
        """What fitting a seed holds, given the memory that it may take, None if there is no limit."""
        limit = math.inf if memory_nbytes is None else memory_nbytes
        code = np.dtype(self.precision).itemsize * n_images * self.n_codewords
        least = self.task_nbytes + 4 * n_images * self.n_units
        kept = kernel.kept_nbytes(n_images, self.n_codewords, self.precision)
        if self.solver == "paper" and kept <= kernel.KEPT_NBYTES and least + code + kept <= limit:
            return Held(least + code + kept, keep=True, on_disk=False)
        on_disk = least + 2 * code > limit
        return Held(self.task_nbytes if on_disk else least + 2 * code, keep=False, on_disk=on_disk)
