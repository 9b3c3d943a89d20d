"""Settings of the reconstruction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from distspc.kernels import threads
from distspc.kernels.sparse_coding import training as kernel
from distspc.kernels.sparse_coding.iteration import Rule

Solver = Literal["paper", "converged", "pca"]
Step = Literal["stable", "paper"]
TrainOn = Literal["all", "fillers"]


@dataclass(frozen=True)
class ReconstructionOptions:
    """What makes the numbers of a layer and a seed."""

    n_units: int
    n_codewords: int
    n_batches: int
    batch_size: int
    sparsity: float
    train_on: TrainOn
    precision: kernel.Precision
    solver: Solver
    step: Step = "stable"

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
