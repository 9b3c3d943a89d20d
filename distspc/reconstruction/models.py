"""The three models of a layer's sampled units, side by side: the paper's, its converged lasso code, and PCA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from distspc.kernels.sparse_coding import training as kernel
from distspc.kernels.sparse_coding.fixed_steps import error_after_steps
from distspc.kernels.sparse_coding.inner_loop import Stop
from distspc.kernels.sparse_coding.lasso import lasso_code
from distspc.kernels.sparse_coding.principal_components import PrincipalComponents, principal_components, row_parts
from distspc.reconstruction.options import ReconstructionOptions


def fit_model(
    x: np.ndarray,
    s: ReconstructionOptions,
    rng: np.random.RandomState,
    *,
    first_row: int,
    allocate: kernel.Allocate,
    keep: bool | None = None,
    each_batch: Callable[[int, Stop], None] | None = None,
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
    keep, each_batch
        See `encode` and `train` of `distspc.kernels.sparse_coding.training`.

    Returns
    -------
    Values by the names of the variables of group `reconstruction`.
    """
    if s.solver == "pca":
        return _fit_components(x, first_row, s)
    return _fit_code(x, first_row, s, rng, allocate, keep, each_batch)


def _fit_components(x: np.ndarray, first_row: int, s: ReconstructionOptions) -> dict[str, Any]:
    model = principal_components(x[first_row:], s.n_codewords)
    parts = [model.error(x[rows]) for rows in row_parts(len(x), s.n_units)]
    error = np.concatenate(parts)
    return {
        "error": error,
        "unit_mean": model.mean,
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
    x: np.ndarray,
    first_row: int,
    s: ReconstructionOptions,
    rng: np.random.RandomState,
    allocate: kernel.Allocate,
    keep: bool | None,
    each_batch: Callable[[int, Stop], None] | None,
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
        each_batch=each_batch,
    )
    if s.solver == "converged":
        error, converged = _converged_error(x, trained.dictionary, s, kernel.scalar_mean(x))
        n_steps, step = 0, np.nan
    else:
        _, error, stop = kernel.encode(
            x,
            trained.dictionary,
            rule=s.rule,
            precision=s.precision,
            keep=keep,
            allocate=allocate,
        )
        n_steps, converged, step = stop.n_steps, stop.converged, stop.step
    return {
        "error": error,
        "unit_mean": offset_of(x, s, first_row),
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


def _converged_error(
    x: np.ndarray, dictionary: np.ndarray, s: ReconstructionOptions, mean: np.floating
) -> tuple[np.ndarray, bool]:
    """Error of the lasso code with the penalty whose fixed point the method's step has; whether all rows converged."""
    error, all_converged = np.empty(len(x)), True
    for rows in row_parts(len(x), 16 * s.n_codewords):
        inputs = np.asarray(x[rows] - mean, np.float64)
        code, converged = lasso_code(inputs, dictionary, s.sparsity / s.rule.step)
        residual = inputs - code @ dictionary.T
        error[rows] = np.einsum("ru,ru->r", residual, residual) / s.n_units
        all_converged &= bool(converged.all())
    return error, all_converged


# ---------------------------------------------------------------- images that were not there


@dataclass(frozen=True)
class FittedModel:
    """What `fit_model` leaves that decides the error of a row.

    Attributes
    ----------
    dictionary
        (units, codewords); principal components for `pca`.
    unit_mean
        What is taken off each scaled unit, float64 (units,): one number for all of them, or for `pca` each one's own.
    n_steps, step
        Steps of the code of all images, and their length; of solver `paper` alone.
    """

    dictionary: np.ndarray
    unit_mean: np.ndarray
    n_steps: int
    step: float


def offset_of(x: np.ndarray, s: ReconstructionOptions, first_row: int) -> np.ndarray:
    """What is taken off each unit before rows are encoded, (units,): see `FittedModel`."""
    if s.solver == "pca":
        return np.asarray(x[first_row:].mean(axis=0, dtype=np.float64))
    return np.full(x.shape[1], kernel.scalar_mean(x), np.float64)


def error_of(x: np.ndarray, fitted: FittedModel, s: ReconstructionOptions) -> np.ndarray:
    """Reconstruction error of rows by a model that is fitted, each on its own.

    Parameters
    ----------
    x
        Scaled units (rows, units), float32.
    fitted
        The model.
    s
        The settings that it was fitted with.

    Returns
    -------
    ndarray (rows,), float64
        For a row that it was fitted to, the error that `fit_model` gives.
    """
    if s.solver == "pca":
        model = PrincipalComponents(fitted.unit_mean, fitted.dictionary)
        parts = [model.error(x[rows]) for rows in row_parts(len(x), s.n_units)]
        return np.concatenate(parts) if parts else np.empty(0)
    mean = x.dtype.type(fitted.unit_mean[0])
    if s.solver == "converged":
        return _converged_error(x, fitted.dictionary, s, mean)[0]
    return error_after_steps(
        x,
        fitted.dictionary,
        mean=mean,
        n_steps=fitted.n_steps,
        step=fitted.step,
        rule=s.rule,
        precision=s.precision,
    )
