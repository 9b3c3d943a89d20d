"""The sparse-coding model as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from distspc.kernels.sparse_coding import training as kernel
from distspc.kernels.sparse_coding.iteration import PAPER, Rule
from distspc.kernels.sparse_coding.lasso import lasso_code
from distspc.messages import counted
from distspc.reconstruction.options import ReconstructionOptions, Step


class OlshausenField(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Sparse coding after Olshausen & Field (1996), early-stopped as in Lin et al. (2024).

    The method is that of doi 10.1038/s41562-024-01870-3. The model approximates ``X - mean(X)`` by
    ``code @ components_``. Two things set it apart from other decompositions, because the published measure has them:

    - with ``solver="paper"``, the code of a row depends on the rows it is encoded with: one scalar mean of all rows
      is taken off, and all stop together. Encode all images at once;
    - steps and thresholds are absolute: scale the data first (the method divides by the 95th percentile of ``|X|``,
      see `distspc.kernels.sparse_coding.scaling.scale_quantile`).

    scikit-learn's own checks (`check_estimator`) pass but for one, `check_methods_subset_invariance`, which asks that
    rows get the same code in any company. They do not, by definition: see the first point. With
    ``solver="converged"`` rows have no common stop, but the mean that is taken off still is that of all rows.

    Parameters
    ----------
    n_codewords
        Number of rows of the dictionary.
    n_batches, batch_size
        Training batches, and rows of each, drawn with replacement.
    sparsity
        Soft threshold of one step (lambda).
    step
        Step length of the code: ``stable``, the paper's 0.01 where the iteration converges with it and a shorter one
        in batches whose dictionary is too large for it (`distspc.kernels.sparse_coding.stability`); ``paper``, 0.01
        always; or a number, used as it is.
    tol
        Tolerance (eps) of the stop.
    max_iter
        Most inner steps of a batch; more where its step is shortened, in proportion.
    solver
        How `transform` and `reconstruction_error` encode: ``paper``, early-stopped; ``converged``, the lasso code with
        the same dictionary. Training is the paper's in either case.
    precision
        Type of the arithmetic.
    n_jobs
        Threads; as many as BLAS may use by default.
    random_state
        Seed, legacy generator, or None. To follow the method of the paper to the bit, hand over the generator that drew
        the units: ``rng = RandomState(seed); units = rng.choice(n_features, n_units, replace=False)``.

    Attributes
    ----------
    components_ : ndarray (n_codewords, n_features)
        The dictionary as training left it.
    n_iter_ : int
        Number of batches.
    training_error_ : ndarray (n_batches,)
        Mean squared residual of each batch.
    n_steps_ : ndarray (n_batches,)
        Inner steps of each batch.
    converged_ : ndarray (n_batches,), bool
        Whether each batch's code converged; those that did not made no step of the dictionary.
    step_ : ndarray (n_batches,)
        Step length of each batch.
    n_shortened_ : int
        Number of batches with a step shorter than 0.01 (``step="stable"`` only).
    n_features_in_ : int
        Number of columns of X.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.abs(np.random.RandomState(0).randn(60, 20))
    >>> model = OlshausenField(n_codewords=8, n_batches=30, batch_size=20, random_state=0).fit(X)
    >>> model.transform(X).shape, model.reconstruction_error(X).shape
    ((60, 8), (60,))
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012 - the name and the form are scikit-learn's
        "n_codewords": [Interval(Integral, 1, None, closed="left")],
        "n_batches": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "sparsity": [Interval(Real, 0, None, closed="left")],
        "step": [StrOptions({"stable", "paper"}), Interval(Real, 0, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"paper", "converged"})],
        "precision": [StrOptions({"float64", "float32"})],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_codewords: int = ReconstructionOptions.n_codewords,
        *,
        n_batches: int = ReconstructionOptions.n_batches,
        batch_size: int = ReconstructionOptions.batch_size,
        sparsity: float = ReconstructionOptions.sparsity,
        step: Step | float = ReconstructionOptions.step,
        tol: float = 1e-2,
        max_iter: int = 999,
        solver: Literal["paper", "converged"] = "paper",
        precision: kernel.Precision = ReconstructionOptions.precision,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_codewords = n_codewords
        self.n_batches = n_batches
        self.batch_size = batch_size
        self.sparsity = sparsity
        self.step = step
        self.tol = tol
        self.max_iter = max_iter
        self.solver = solver
        self.precision = precision
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the dictionary.

        Parameters
        ----------
        X
            Rows (n_samples, n_features), scaled.
        y
            Ignored.

        Raises
        ------
        ValueError
            If X cannot be used; if a code diverges, with the number of the batch.
        """
        self._validate_params()
        X = self._validated(X, reset=True)
        rng = check_random_state(self.random_state)
        first = kernel.draw_dictionary(rng, X.shape[1], self.n_codewords)
        try:
            trained = kernel.train(
                X,
                first,
                rng,
                n_batches=self.n_batches,
                batch_size=self.batch_size,
                rule=self._rule(),
                precision=self.precision,
                n_threads=self.n_jobs,
            )
        except FloatingPointError as problem:
            raise ValueError(f"{problem}. Scale X, or take `step='stable'` (it is {self.step!r})") from problem
        self.components_ = np.ascontiguousarray(trained.dictionary.T)
        self.training_error_, self.n_steps_ = trained.training_error, trained.n_steps
        self.converged_, self.n_iter_ = trained.converged, len(trained.n_steps)
        self.step_, self.n_shortened_ = trained.step, int(np.sum(trained.step < self._rule().step))
        n_failed = int(np.sum(~self.converged_))
        if n_failed:
            self._warn(
                f"{counted(n_failed, 'batch', of=self.n_iter_)} did not converge and made no step of the dictionary"
            )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Code (n_samples, n_codewords) of the rows of X, encoded together."""
        return self._encode(X)[0]

    def reconstruction_error(self, X: Any) -> np.ndarray:
        """Mean squared residual (n_samples,) of the rows of X, encoded together.

        With ``solver="paper"`` the residual is that of the code before its last step, as published.
        """
        return self._encode(X)[1]

    def _encode(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        phi = np.ascontiguousarray(self.components_.T)
        if self.solver == "converged":
            inputs = np.asarray(X - X.mean(), np.float64)
            code, rows_converged = lasso_code(inputs, phi, self.sparsity / self._rule().step)
            converged, error = bool(rows_converged.all()), np.mean((inputs - code @ phi.T) ** 2, axis=1)
        else:
            rule = self._rule()
            code, error, stop = kernel.encode(X, phi, rule=rule, precision=self.precision, n_threads=self.n_jobs)
            converged = stop.converged
        if not converged:
            self._warn("the code did not converge")
        return code, error

    def _rule(self) -> Rule:
        length = PAPER.step if isinstance(self.step, str) else self.step
        return Rule(self.sparsity, length, self.tol, self.max_iter, shorten=self.step == "stable")

    def _validated(self, X: Any, *, reset: bool) -> np.ndarray:
        return validate_data(self, X, reset=reset, dtype=[np.float64, np.float32], order="C")

    def _warn(self, what: str) -> None:
        more = f"after {self.max_iter} steps: raise `max_iter` or `tol`, or scale X"
        warnings.warn(f"{type(self).__name__}: {what} {more}", ConvergenceWarning, stacklevel=3)

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # The code is computed and returned in `precision`, whatever the type of X.
        tags.transformer_tags.preserves_dtype = [self.precision]
        tags.non_deterministic = False
        return tags
