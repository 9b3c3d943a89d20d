"""Settings of the reconstruction."""

from __future__ import annotations

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
