"""The sparse-coding model as `method.md`, section 4, writes it: literal, slow, one copy for tests and benchmark."""

import numpy as np

LAMBDA = 1e-3
STEP = 1e-2
EPS = 1e-2


def S(x, threshold):  # noqa: N802
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0)


def encode(B, Phi, sparsity=LAMBDA, eps=EPS):
    """Returns r, e (of the code before its last update), converged, number of updates."""
    r = np.zeros((len(B), Phi.shape[1]))
    t = 0
    while True:
        e = B - r @ Phi.T
        r_new = S(r + STEP * (e @ Phi), sparsity)
        ratio = np.linalg.norm(r_new - r, 2) / (eps + np.linalg.norm(r, 2))
        r = r_new
        if ratio < eps:
            return r, e, True, t + 1
        if t >= 998:
            return r, e, False, t + 1
        t += 1


def draw(seed, activations, n_units, n_codewords):
    """Returns the generator, the unit indices, the scaled units and the first dictionary."""
    rng = np.random.RandomState(seed)
    units = rng.choice(activations.shape[1], n_units, replace=False)
    X = np.ascontiguousarray(activations[:, units], dtype=np.float32)
    X = X / np.quantile(np.abs(X), 0.95)
    Phi = rng.randn(n_units, n_codewords).astype(np.float32) * np.sqrt(1 / n_codewords)
    return rng, units, X, Phi


def train(X, Phi, rng, n_batches, batch_size, sparsity=LAMBDA, each_batch=None, eps=EPS):
    """Returns the dictionary, and by batch training error, inner steps, converged."""
    errors, steps, converged = [], [], []
    for _ in range(n_batches):
        rows = rng.choice(len(X), batch_size)
        B = X[rows] - np.mean(X[rows])
        Phi = Phi / np.maximum(np.linalg.norm(Phi, axis=0), 1e-8)
        r, e, ok, n = encode(B, Phi, sparsity, eps)
        if ok:
            e = B - r @ Phi.T
            r = S(r + STEP * (e @ Phi), sparsity)
            e = B - r @ Phi.T
            Phi = Phi + STEP * (e.T @ r)
        errors.append(np.mean(e**2))
        steps.append(n)
        converged.append(ok)
        if each_batch is not None:
            each_batch(len(steps))
    return Phi, np.array(errors), np.array(steps), np.array(converged)


def reconstruct(X, Phi, sparsity=LAMBDA):
    """Returns the error of every image, inner steps, converged."""
    _, e, ok, n = encode(X - np.mean(X), Phi, sparsity)
    return np.mean(e**2, axis=1), n, ok


def fit(seed, activations, n_units, n_codewords, n_batches, batch_size, sparsity=LAMBDA, n_targets=None):
    """Error of every image: the whole method for one layer. With `n_targets`, training draws from the fillers only."""
    rng, _, X, Phi = draw(seed, activations, n_units, n_codewords)
    Phi, *_ = train(X if n_targets is None else X[n_targets:], Phi, rng, n_batches, batch_size, sparsity)
    return reconstruct(X, Phi, sparsity)[0]


def share(Phi, bound=1.5):
    """How much of the step converges for this dictionary: all of it below a squared norm of 2 / STEP."""
    L = np.linalg.norm(Phi, 2) ** 2
    return 1.0 if L * STEP < 2 else bound / (L * STEP)


def encode_shortened(B, Phi, f, sparsity=LAMBDA):
    """As `encode`, with a share f of the step, the threshold and the tolerance, and 1 / f as many steps."""
    r = np.zeros((len(B), Phi.shape[1]))
    for t in range(1, int(np.ceil(999 / f)) + 1):
        e = B - r @ Phi.T
        r_new = S(r + f * STEP * (e @ Phi), f * sparsity)
        ratio = np.linalg.norm(r_new - r, 2) / (EPS + np.linalg.norm(r, 2))
        r = r_new
        if ratio < f * EPS:
            return r, e, True, t
    return r, e, False, t


def train_stable(X, Phi, rng, n_batches, batch_size, sparsity=LAMBDA):
    """As `train`, with a shorter step in every batch whose dictionary needs one; returns that share by batch too."""
    errors, steps, shares = [], [], []
    for _ in range(n_batches):
        rows = rng.choice(len(X), batch_size)
        B = X[rows] - np.mean(X[rows])
        Phi = Phi / np.maximum(np.linalg.norm(Phi, axis=0), 1e-8)
        f = share(Phi)
        r, e, ok, n = encode_shortened(B, Phi, f, sparsity)
        if ok:
            e = B - r @ Phi.T
            r = S(r + f * STEP * (e @ Phi), f * sparsity)
            e = B - r @ Phi.T
            Phi = Phi + STEP * (e.T @ r)
        errors.append(np.mean(e**2))
        steps.append(n)
        shares.append(f)
    return Phi, np.array(errors), np.array(steps), np.array(shares)
