"""Permutation tests of correlations, zero-order and partial: NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distspc.kernels.statistics.correlations import mid_ranks
from distspc.kernels.statistics.groups import Floats, Groups, one_group

BLOCK_NBYTES = 2**24  # of one (permutations, images) array; a few such live at a time
_TIE = 1e-12  # difference of two correlations under which they are the same but for rounding
_FLAT = 1e-12  # share of a column's variance under which what is left of it counts as constant


def permutation_p(
    x: Floats,
    y: Floats,
    z: Floats,
    *,
    groups: Groups | None = None,
    method: str = "pearson",
    n_permutations: int = 4999,
    random_state: int | None = 0,
    block_nbytes: int = BLOCK_NBYTES,
) -> Floats:
    """Two-tailed permutation p of the correlation of each measure with the score, given the controls.

    The images' scores are permuted; with controls the residuals of the scores on them, which are added to the fitted
    scores and regressed on the controls again (Freedman and Lane). The same permutations serve all measures.

    Parameters
    ----------
    x
        Measures, shape (images, measures).
    y
        Score, shape (images,).
    z
        Controls, shape (images, controls); no columns for a zero-order correlation.
    groups
        Groups of images whose means are controlled for too.
    method
        ``"pearson"``, or ``"spearman"`` (of the ranks of all columns).
    n_permutations
        Number of random permutations.
    random_state
        Seed.
    block_nbytes
        Bytes of the permutations that are worked on at once. Results do not depend on it.

    Returns
    -------
    ndarray, shape (measures,)
        (b + 1) / (n_permutations + 1), b of the permuted correlations being as far from 0 as that of the sample:
        never below 1 / (n_permutations + 1). NaN where measure or score does not vary beside the controls.

    Notes
    -----
    Phipson and Smyth (2010), Permutation p-values should never be zero, Statistical Applications in Genetics and
    Molecular Biology 9, 39, doi 10.2202/1544-6115.1585. Freedman and Lane (1983), A nonstochastic interpretation of
    reported significance levels, Journal of Business & Economic Statistics 1, 292-298. With M the matrix that gives
    residuals, M (fit + P e) = M P e and M x . M P e = M x . P e, so that no score is fitted again.
    """
    if method == "spearman":
        x, z = (np.apply_along_axis(mid_ranks, 0, columns) if columns.size else columns for columns in (x, z))
        y = mid_ranks(y)
    groups = groups or one_group(len(y))
    basis = _basis(z, groups)
    e_x, e_y = _residuals(x, groups, basis), _residuals(y[:, None], groups, basis)[:, 0]
    sample = _partial(e_x, e_y[None], groups, basis)[0]
    beyond = np.zeros(x.shape[1])
    for rows in _permutations(len(y), n_permutations, random_state, block_nbytes):
        beyond += (np.abs(_partial(e_x, e_y[rows], groups, basis)) >= np.abs(sample) - _TIE).sum(axis=0)
    varies = ((e_x**2).sum(axis=0) > _FLAT * _spread(x)) & ((e_y**2).sum() > _FLAT * _spread(y[:, None])[0])
    return np.where(varies, (beyond + 1) / (n_permutations + 1), np.nan)


def _spread(columns: Floats) -> Floats:
    return np.asarray(((columns - columns.mean(axis=0)) ** 2).sum(axis=0))


def _permutations(n: int, n_permutations: int, random_state: int | None, block_nbytes: int) -> Iterator[np.ndarray]:
    """Blocks of permutations of 0..n-1, a row each; they do not depend on the size of the blocks."""
    rng = np.random.default_rng(random_state)
    size = max(1, block_nbytes // (8 * n))
    for start in range(0, n_permutations, size):
        rows = np.tile(np.arange(n), (min(size, n_permutations - start), 1))
        yield rng.permuted(rows, axis=1)


def _basis(z: Floats, groups: Groups) -> Floats:
    """Orthonormal columns that span the controls beside the means of groups, (images, rank)."""
    if not z.shape[1]:
        return np.empty((len(z), 0))
    spread = np.sqrt(_spread(z))
    left = groups.centred(z - z.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    u, s, _ = np.linalg.svd(left, full_matrices=False)
    return np.asarray(u[:, s > 1e-10 * max(float(s.max(initial=0.0)), 1e-10)])


def _residuals(columns: Floats, groups: Groups, basis: Floats) -> Floats:
    left = groups.centred(columns - columns.mean(axis=0))
    return np.asarray(left - basis @ (basis.T @ left))


def _partial(e_x: Floats, permuted: Floats, groups: Groups, basis: Floats) -> Floats:
    """Partial correlations of residuals of measures with permuted residuals of the score, (permutations, measures)."""
    explained = groups.between(permuted) + ((permuted @ basis) ** 2).sum(axis=1)
    left = (permuted**2).sum(axis=1) - explained
    scale = np.sqrt(np.maximum(left, 0)[:, None] * (e_x**2).sum(axis=0))
    return np.asarray(np.divide(permuted @ e_x, scale, out=np.zeros(scale.shape), where=scale > 0))
