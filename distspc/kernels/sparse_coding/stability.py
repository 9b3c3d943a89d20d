"""Which step of the inner loop is stable for a dictionary: the paper's where it is, a shorter one where it is not.

The inner loop (`inner_loop`) is proximal gradient descent (ISTA: Daubechies, Defrise & De Mol, 2004; Beck & Teboulle,
2009) on, row by row::

    F(r) = 1/2 |b - Phi r|^2 + penalty |r|_1        with  penalty = sparsity / step

since ``r <- S(r + step (b - r Phi') Phi, sparsity)`` is a gradient step of the first term and then the proximal map of
``step * penalty |r|_1``. The gradient is Lipschitz with ``L = ||Phi||^2`` (squared spectral norm), and by the descent
lemma a step changes F by at most ``-(1/step - L/2) |r_new - r|^2``. So for every ``step < 2 / L`` F falls at each
step, the changes are square-summable, and the iteration converges to a minimum of F (Combettes & Wajs, 2005, theorem
3.4). For ``step > 2 / L`` the part of a row along the top singular vector is multiplied by ``1 - step L < -1`` at each
step, as long as no entry of the row is shrunk to zero: it grows without limit. The paper's step of 0.01 converges
below ``L = 2 / 0.01 = 200``.

A batch whose dictionary is at or above that bound runs with the share ``f = SAFE / (step L) < 1`` of the step:

- ``f step`` with threshold ``f sparsity``: the penalty, hence F and its minima (the fixed points), stay the same;
- the stop ``||r_new - r|| < f eps (eps + ||r||)``: the same bound on the change per length of step, that is on the
  gradient mapping ``(r - r_new) / step``, which vanishes at the minima. With a shorter step it is as large or larger
  (Beck, 2017, theorem 10.9), so the stop is at least as strict as the paper's at the same code;
- at most ``max_steps / f`` steps: the same length of the path, ``max_steps * step``.

With f = 1 every one of these is the paper's rule to the last bit.
"""

from __future__ import annotations

import math

import numpy as np

from distspc.kernels.sparse_coding import spectral

SAFE = 1.5
"""Step times ||Phi||^2 where the step is shortened, below 2: the distance from a minimum is halved at each step along
the top singular vector, and all other parts come closer half as fast again as with the usual 1. A third more would
still be stable, so that the rounding of ||Phi||^2 needs no margin."""


def largest_stable_norm(step: float) -> float:
    """Bound of ``||Phi||^2`` below which steps of this length converge."""
    return 2 / step


def stable_share(gram: np.ndarray, step: float) -> float:
    """Share of `step` that is stable for a dictionary with Gram matrix `gram` (codewords, codewords); 1 if it all is.

    Most often the Frobenius norm of `gram` is below the bound, which its largest eigenvalue is at most; where the bound
    is closer than rounding, eigenvalues in float64 decide.
    """
    bound = math.sqrt(largest_stable_norm(step))
    proven = bound * (1 - spectral.rounding_margin(gram.dtype))
    if np.linalg.norm(gram.astype(np.float64, copy=False)) < proven**2 or spectral.is_below(gram, proven):
        return 1.0
    norm = spectral.norm_of_gram(gram.astype(np.float64))
    if norm < bound:
        return 1.0
    return SAFE / (step * norm**2)
