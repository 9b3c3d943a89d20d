r"""Cross-validated kernel ridge: what a linear readout predicts of images that it was not fitted to.

Ridge regression with an intercept that is not penalised gives, of all images, the residuals :math:`R y` with

.. math:: R = \lambda (K_c + \lambda I)^{-1} - 11'/n,

:math:`K_c` the Gram matrix of the features, each minus its mean. A fit that leaves out a set :math:`F` of images is off
for these by exactly :math:`R_{FF}^{-1} (R y)_F`: one eigendecomposition of :math:`K_c` serves all sets and penalties,
and no model is fitted again (Rasmussen & Williams 2006, section 5.4.2; Pahikkala, Boberg & Salakoski 2006). Leaving out
one more image :math:`i`, by which the penalty is chosen within the others, is the same with :math:`F \cup \{i\}`, by
the inverse of a partitioned matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported at first use: scipy.linalg takes long

from distspc.kernels.statistics.correlations import Floats


class Readout(NamedTuple):
    """Predictions for images that were left out of the fit.

    Attributes
    ----------
    prediction
        Of each score for each image, from the other folds, (images, scores).
    baseline
        Mean score of the images that it was fitted to, (images, scores): the prediction of an empty model.
    penalty
        Penalty that was chosen without the fold, (folds, scores).
    """

    prediction: Floats
    baseline: Floats
    penalty: Floats


def centred_gram(gram: Floats) -> Floats:
    """Gram matrix of features that have had their means over the images removed.

    Parameters
    ----------
    gram
        Inner products of the images' features, (images, images).
    """
    means = gram.mean(axis=0)
    return gram - means - means[:, None] + means.mean()


def cross_validate(gram: Floats, scores: Floats, folds: np.ndarray, penalties: Sequence[float]) -> Readout:
    """Predict scores by ridge regression on features, each fold from the others.

    The penalty of a fold is the one with the least mean squared error when the other folds' images are left out one at
    a time; of equals the largest. Means of features and scores are those of the images fitted to.

    Parameters
    ----------
    gram
        Inner products of the images' features, centred or not, symmetric, (images, images).
    scores
        Finite, (images, scores).
    folds
        Number of the fold of each image, from 0, (images,).
    penalties
        Of the sum of squared weights, beside the sum of squared errors; above 0.

    Raises
    ------
    ValueError
        If there are fewer than two folds, a fold is empty or leaves fewer than two images, or a penalty is not above 0.
    """
    groups = _groups(folds)
    descending = np.sort(np.asarray(penalties, dtype=float))[::-1]
    if not len(descending) or not descending[-1] > 0:
        raise ValueError(f"penalties are {list(penalties)}; each must be above 0")
    values, vectors = np.linalg.eigh(centred_gram(gram))
    values = np.maximum(values, 0)
    errors = np.empty((len(descending), *scores.shape))
    within = np.empty((len(descending), len(groups), scores.shape[1]))
    for p, penalty in enumerate(descending):
        maker = _residual_maker(values, vectors, penalty)
        residual = maker @ scores
        for f, (left, kept) in enumerate(groups):
            errors[p, left], within[p, f] = _leave_out(maker, residual, left, kept)
    best = within.argmin(axis=0)
    chosen, baseline = np.empty_like(scores), np.empty_like(scores)
    for f, (left, kept) in enumerate(groups):
        chosen[left] = np.take_along_axis(errors[:, left], best[f][None, None], axis=0)[0]
        baseline[left] = scores[kept].mean(axis=0)
    return Readout(scores - chosen, baseline, descending[best])


def _groups(folds: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images of each fold, and the others."""
    n_folds = int(folds.max(initial=-1)) + 1
    groups = [(np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)) for fold in range(n_folds)]
    fewest = min((min(len(left), len(kept) - 1) for left, kept in groups), default=0)
    if n_folds < 2 or fewest < 1:
        raise ValueError(f"{len(folds)} images in {n_folds} folds; expected two folds or more, none empty")
    return groups


def _residual_maker(values: Floats, vectors: Floats, penalty: float) -> Floats:
    """What makes residuals of scores at a penalty, (images, images)."""
    root = vectors * np.sqrt(penalty / (values + penalty))
    root -= root.mean(axis=0)  # not 1/n off the product, which cancels digits where a fit leaves next to nothing
    return np.asarray(root @ root.T)  # half the work of a product of two matrices


def _leave_out(maker: Floats, residual: Floats, left: np.ndarray, kept: np.ndarray) -> tuple[Floats, Floats]:
    """Errors for images left out, (left, scores); mean squared errors where each other is left out too, (scores,)."""
    inner, across = scipy.linalg.cho_factor(maker[np.ix_(left, left)]), maker[np.ix_(left, kept)]
    error = scipy.linalg.cho_solve(inner, residual[left])
    own = maker.diagonal()[kept] - np.einsum("ij,ij->j", across, scipy.linalg.cho_solve(inner, across))
    one_more = (residual[kept] - across.T @ error) / own[:, None]
    return error, np.mean(one_more**2, axis=0)


def flop(n_images: int, n_folds: int, n_penalties: int) -> float:
    """Operations of a cross-validation: an eigendecomposition, and a product and the folds of every penalty."""
    return (9.0 + (1.0 + 2.0 / n_folds) * n_penalties) * float(n_images) ** 3


def nbytes(n_images: int) -> int:
    """Bytes that a cross-validation holds: some eleven matrices of the images, measured with 2,222.

    The Gram matrix as it was read, its rows with scores, and centred; eigenvectors, and thrice the size that they are
    made in; what is made of them; and what the allocator keeps.
    """
    return 11 * 8 * n_images**2
