"""What the early-stopped model is compared with: the converged lasso code, and principal components.

Both take rows one by one: neither has a common stop or a mean over all rows inside.
"""

from __future__ import annotations

import numpy as np
import scipy

from distspc.kernels.sparse_coding.iteration import soft_threshold

MAX_STEPS = 10_000
CHECK_EVERY = 10


def lasso_code(
    inputs: np.ndarray, dictionary: np.ndarray, penalty: float, *, tolerance: float = 1e-8
) -> tuple[np.ndarray, np.ndarray]:
    """Converged code: the minimum over r of ``1/2 |b - Phi r|^2 + penalty |r|_1`` for every row b.

    The shrinkage step of the method has this fixed point with ``penalty = sparsity / step``. Accelerated proximal
    gradient (FISTA: Beck & Teboulle, 2009) with restart where momentum points uphill (O'Donoghue & Candes, 2015), in
    Gram form; a row is done when its duality gap is below `tolerance` times ``1/2 |b|^2``.

    Parameters
    ----------
    inputs
        Rows b (rows, units), float64.
    dictionary
        Phi (units, codewords), float64.
    penalty
        Weight of the absolute values of the code.

    Returns
    -------
    code : ndarray (rows, codewords)
    converged : ndarray (rows,), bool
    """
    gram, drive = dictionary.T @ dictionary, inputs @ dictionary
    energy = np.einsum("ru,ru->r", inputs, inputs)
    k = len(gram)
    step = 1 / max(float(scipy.linalg.eigvalsh(gram, subset_by_index=[k - 1, k - 1])[0]), np.finfo(float).tiny)
    code, converged = np.zeros_like(drive), np.zeros(len(drive), bool)
    rows = np.arange(len(drive))
    r, z, t = code.copy(), code.copy(), np.ones((len(rows), 1))
    for i in range(MAX_STEPS):
        if i % CHECK_EVERY == 0:
            done = _gap(r, gram, drive[rows], energy[rows], penalty) <= tolerance * energy[rows] / 2
            code[rows], converged[rows] = r, done
            rows, r, z, t = rows[~done], r[~done], z[~done], t[~done]
            if not len(rows):
                break
        new = soft_threshold(z - step * (z @ gram - drive[rows]), step * penalty)
        uphill = np.einsum("rk,rk->r", z - new, new - r) > 0
        t_new = np.where(uphill[:, None], 1.0, (1 + np.sqrt(1 + 4 * t * t)) / 2)
        momentum = np.where(uphill[:, None], 0.0, (t - 1) / t_new)
        z = new + momentum * (new - r)
        r, t = new, t_new
    code[rows] = r
    return code, converged


def _gap(r: np.ndarray, gram: np.ndarray, drive: np.ndarray, energy: np.ndarray, penalty: float) -> np.ndarray:
    """Duality gap by row; the dual point is the residual, shrunk until it is feasible."""
    correlation = drive - r @ gram
    with_code = np.einsum("rk,rk->r", r, drive)
    residual = energy - with_code - np.einsum("rk,rk->r", r, correlation)
    largest = np.maximum(np.abs(correlation).max(axis=1), np.finfo(float).tiny)
    scale = np.minimum(1.0, penalty / largest)
    primal = residual / 2 + penalty * np.abs(r).sum(axis=1)
    return primal - (scale * (energy - with_code) - scale**2 * residual / 2)
