"""The three models of a layer's sampled units, side by side: the paper's, its converged lasso code, and PCA."""

from __future__ import annotations

from typing import Any

import numpy as np

from distspc.kernels.sparse_coding import training as kernel
from distspc.kernels.sparse_coding.lasso import lasso_code
from distspc.kernels.sparse_coding.principal_components import principal_components, row_parts
from distspc.reconstruction.options import ReconstructionOptions


def fit_model(
    x: np.ndarray, s: ReconstructionOptions, rng: np.random.RandomState, *, first_row: int, allocate: kernel.Allocate
) -> dict[str, Any]:
    """Train on scaled units and reconstruct all of them.

    Parameters
    ----------
    x
        Scaled units (images, units), float32.
    rng
        Generator that has drawn the units; draws the dictionary and the batches.
    first_row
        Training draws from this row on.
    allocate
        Makes the arrays that grow with the number of images.

    Returns
    -------
    Values by the names of the variables of group `reconstruction`.
    """
    if s.solver == "pca":
        return _fit_components(x, first_row, s)
    return _fit_code(x, first_row, s, rng, allocate)


def _fit_components(x: np.ndarray, first_row: int, s: ReconstructionOptions) -> dict[str, Any]:
    model = principal_components(x[first_row:], s.n_codewords)
    parts = [model.error(x[rows]) for rows in row_parts(len(x), s.n_units)]
    error = np.concatenate(parts)
    return {
        "error": error,
        "dictionary": model.components,
        # There are no batches: the training error is that of the training rows, every time.
        "training_error": np.full(s.n_batches, error[first_row:].mean()),
        "n_steps": np.zeros(s.n_batches, np.int64),
        "converged": np.ones(s.n_batches, bool),
        "encode_steps": 0,
        "encode_converged": True,
        "n_shortened": 0,
        "smallest_step": np.nan,
        "encode_step": np.nan,
    }


def _fit_code(
    x: np.ndarray, first_row: int, s: ReconstructionOptions, rng: np.random.RandomState, allocate: kernel.Allocate
) -> dict[str, Any]:
    first = kernel.draw_dictionary(rng, s.n_units, s.n_codewords)
    trained = kernel.train(
        x[first_row:],
        first,
        rng,
        n_batches=s.n_batches,
        batch_size=s.batch_size,
        rule=s.rule,
        precision=s.precision,
    )
    if s.solver == "converged":
        error, converged = _converged_error(x, trained.dictionary, s)
        n_steps, step = 0, np.nan
    else:
        _, error, stop = kernel.encode(
            x,
            trained.dictionary,
            rule=s.rule,
            precision=s.precision,
            allocate=allocate,
        )
        n_steps, converged, step = stop.n_steps, stop.converged, stop.step
    return {
        "error": error,
        "dictionary": trained.dictionary,
        "training_error": trained.training_error,
        "n_steps": trained.n_steps,
        "converged": trained.converged,
        "encode_steps": n_steps,
        "encode_converged": converged,
        "n_shortened": int(np.sum(trained.step < s.rule.step)),
        "smallest_step": trained.step.min(),
        "encode_step": step,
    }


def _converged_error(x: np.ndarray, dictionary: np.ndarray, s: ReconstructionOptions) -> tuple[np.ndarray, bool]:
    """Error of the lasso code with the penalty whose fixed point the method's step has; whether all rows converged."""
    mean, error, all_converged = np.float32(x.mean()), np.empty(len(x)), True
    for rows in row_parts(len(x), 16 * s.n_codewords):
        inputs = np.asarray(x[rows] - mean, np.float64)
        code, converged = lasso_code(inputs, dictionary, s.sparsity / s.rule.step)
        residual = inputs - code @ dictionary.T
        error[rows] = np.einsum("ru,ru->r", residual, residual) / s.n_units
        all_converged &= bool(converged.all())
    return error, all_converged
