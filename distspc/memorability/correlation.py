"""Correlations of the columns of any table: measures of images with scores, partial, compared; multiple regression."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.kernels.statistics import correlations as kernel
from distspc.kernels.statistics import inference
from distspc.memorability.options import INTERVALS, METHODS, Interval, Method, Names, RelateOptions
from distspc.messages import did_you_mean, shorten

log = logging.getLogger(__name__)

_MIN_IMAGES = 4  # images under which a correlation says nothing
_FOLDS = 10


def as_tuple(names: Names) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def correlate(
    frame: pd.DataFrame,
    measures: Names,
    score: Names = "corrected_hit",
    given: Names = (),
    method: Method = "pearson",
    n_bootstrap: int = RelateOptions.n_bootstrap,
    random_state: int | None = RelateOptions.random_state,
    *,
    interval: Interval = RelateOptions.interval,
) -> pd.DataFrame:
    """Correlate measures of images with scores, with bootstrap intervals.

    Parameters
    ----------
    frame
        One row per image.
    measures
        Columns to correlate with the scores.
    score
        Column, or columns, of the scores.
    given
        Control columns: the correlation is then partial, that of the residuals of measure and score after ordinary
        least squares on the controls (all of them together).
    method
        ``"pearson"``, or ``"spearman"`` (the same on ranks).
    n_bootstrap
        Resamples of the images. A resample keeps each image's measure, score and controls together, refits the
        controls, and for Spearman ranks anew.
    random_state
        Seed. A result depends on it and on its own columns alone, not on what else is asked for.
    interval
        ``"percentile"`` (2.5 and 97.5 %) or ``"bca"`` (bias-corrected and accelerated, Efron 1987).

    Returns
    -------
    DataFrame
        One row per score and measure. Columns: ``measure``, ``given`` (comma-separated), ``method``, ``n`` (images
        with all values), ``r``, ``ci_low``, ``ci_high``, ``p`` (two-tailed, 2 min(share r* < 0, share r* > 0): its
        step is 2 / n_bootstrap, so 0 means less than that), ``score``, ``n_missing`` (rows left out), ``p_t``
        (Student's t), ``p_holm`` (`p_t` after Holm's correction over all rows of the table; not of `p`, whose step
        times the number of tests would often exceed any level), ``n_tests``, ``interval``, ``undefined`` (share of
        resamples that have no correlation, as a column is constant in them; they are left out, and above a
        twentieth there is no interval and no ``p``: NaN).

    Raises
    ------
    InputError
        For a column that is missing, not numeric, infinite or constant (but for rounding), a measure that is also
        score or control, fewer than 4 complete images, or an unknown option.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> x = np.arange(20.0)
    >>> frame = pd.DataFrame({"size": x, "corrected_hit": x + 5 * np.sin(x)})
    >>> correlate(frame, ["size"])[["measure", "n", "r"]].round(2)
      measure   n     r
    0    size  20  0.83
    """
    measures, scores, given = as_tuple(measures), as_tuple(score), as_tuple(given)
    options = RelateOptions(n_bootstrap, interval, random_state=random_state)
    _check_options(method, interval, n_bootstrap)
    _check_roles(measures, scores, given)
    values = _columns(frame, [*measures, *scores, *given])
    rows = []
    for name in scores:
        complete = values.notna()
        common = complete[[name, *given]].all(axis=1)
        masks = {measure: (common & complete[measure]).to_numpy() for measure in measures}
        for mask in {mask.tobytes(): mask for mask in masks.values()}.values():
            alike = [measure for measure in measures if np.array_equal(masks[measure], mask)]
            _check_sample(values[mask], [*alike, name, *given], n_rows=len(values))
            drawn = _bootstrapped(values[mask], alike, name, given, method, options)
            rows.append(drawn.assign(score=name, n=int(mask.sum()), n_missing=int((~mask).sum())))
    table = pd.concat(rows).assign(given=", ".join(given), method=method, interval=interval)
    order = pd.MultiIndex.from_product([scores, measures])
    table = table.set_index(["score", "measure"]).loc[order].rename_axis(["score", "measure"]).reset_index()
    table = with_holm(table.assign(p_t=inference.t_test_p(table["r"], table["n"], len(given))))
    for sentence in bootstrap_notices(table):
        log.warning(sentence)
    return table


def bootstrap_notices(table: pd.DataFrame) -> list[str]:
    """Say which correlations have no interval and no p, or were made of fewer resamples: those undefined left out."""
    if "undefined" not in table.columns:
        return []
    few = (table["undefined"] > 0) & (table["undefined"] <= inference.MAX_UNDEFINED)
    many = table["undefined"] > inference.MAX_UNDEFINED
    kinds = {
        "have no 95 % CI and no bootstrap p: more than a twentieth of their resamples are undefined": table[many],
        "rest on fewer resamples: some are undefined": table[few],
    }
    return [
        f"{len(rows)} of {len(table)} correlations {words} ({_largest_shares(rows)})"
        for words, rows in kinds.items()
        if len(rows)
    ]


def _largest_shares(rows: pd.DataFrame) -> str:
    ordered = rows.sort_values("undefined", ascending=False, kind="stable")
    return shorten(
        [
            f"{row['measure']}{':' + row['layer'] if 'layer' in row else ''} with {row['score']}"
            f"{' given ' + row['given'] if row['given'] else ''}: {100 * row['undefined']:.3g} %"
            for row in ordered.to_dict("records")
        ],
        most=3,
    )


def with_holm(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of correlations with Holm's correction of `p_t` over its rows, columns in their usual order."""
    n_tests = int(np.isfinite(table["p_t"]).sum())
    table = table.assign(p_holm=inference.holm(table["p_t"]), n_tests=n_tests)
    first = ["measure", "given", "method", "n", "r", "ci_low", "ci_high", "p", "score", "n_missing"]
    return table[[*first, "p_t", "p_holm", "n_tests", "interval", "undefined"]]


def _bootstrapped(
    sample: pd.DataFrame,
    measures: Sequence[str],
    score: str,
    given: Sequence[str],
    method: str,
    options: RelateOptions,
) -> pd.DataFrame:
    x, y, z = _arrays(sample, measures, score, given)
    r = kernel.correlations(x, y, z, method=method)
    draws = kernel.bootstrap_correlations(
        x, y, z, method=method, n_bootstrap=options.n_bootstrap, random_state=options.random_state
    )
    if options.interval == "bca":
        low, high = inference.bca_interval(r, draws, kernel.jackknife_correlations(x, y, z, method=method))
    else:
        low, high = inference.percentile_interval(draws)
    undefined = inference.undefined_share(draws)
    table = pd.DataFrame(
        {"measure": list(measures), "r": r, "ci_low": low, "ci_high": high, "p": inference.bootstrap_p(draws)}
    )
    table.loc[undefined > inference.MAX_UNDEFINED, ["ci_low", "ci_high", "p"]] = np.nan
    return table.assign(undefined=undefined)


def _arrays(
    sample: pd.DataFrame, measures: Sequence[str], score: str, given: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        sample[list(measures)].to_numpy(dtype=float),
        sample[score].to_numpy(dtype=float),
        sample[list(given)].to_numpy(dtype=float),
    )


def _check_options(method: str, interval: str, n_bootstrap: int) -> None:
    if method not in METHODS:
        raise InputError(f"method {method!r} is not one of {', '.join(METHODS)}")
    if interval not in INTERVALS:
        raise InputError(f"interval {interval!r} is not one of {', '.join(INTERVALS)}")
    if n_bootstrap < 1:
        raise InputError(f"n_bootstrap is {n_bootstrap}; it must be at least 1 (1000 in the paper)")


def _check_roles(measures: Sequence[str], scores: Sequence[str], given: Sequence[str]) -> None:
    if not measures or not scores:
        raise InputError("name at least one measure and one score")
    for kind, names in (("measures", measures), ("scores", scores), ("controls", given)):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        if twice:
            raise InputError(f"the {kind} name {shorten(twice)} more than once")
    both = [name for name in measures if name in scores or name in given] + [n for n in scores if n in given]
    if both:
        raise InputError(f"{shorten(both)}: a column can be only one of measure, score and control")


def _columns(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the named columns as float64."""
    for name in names:
        if name not in frame.columns:
            near = did_you_mean(name, map(str, frame.columns))
            raise InputError(f"there is no column {name!r}; {near}there are {shorten(frame.columns, most=40)}")
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise InputError(f"column {name!r} holds {frame[name].dtype}, not numbers")
    values = frame[list(names)].astype("float64")
    infinite = [name for name in names if np.isinf(values[name]).any()]
    if infinite:
        raise InputError(f"column {shorten(infinite)} has infinite values")
    return values


def _check_sample(sample: pd.DataFrame, names: Sequence[str], *, n_rows: int) -> None:
    if len(sample) < _MIN_IMAGES:
        raise InputError(
            f"{shorten(names)}: only {len(sample)} of {n_rows} images have all values; at least {_MIN_IMAGES} are "
            "needed"
        )
    constant = constant_columns(sample, names)
    if constant:
        values = ", ".join(f"{name} is {sample[name].iloc[0]:g} for all" for name in constant[:5])
        raise InputError(f"constant columns have no correlation ({values}, {len(sample)} images): leave them out")


def constant_columns(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Columns whose known values are all the same, but for rounding."""
    return [name for name in names if kernel.is_constant(frame[name].to_numpy(dtype=float))]


def compare_correlations(
    frame: pd.DataFrame,
    first: str,
    second: str,
    shared: str,
    method: Method = "pearson",
    n_bootstrap: int = RelateOptions.n_bootstrap,
    random_state: int | None = RelateOptions.random_state,
) -> pd.DataFrame:
    """Compare two correlations of the same images that share a column.

    Two measures with one score, or one measure (`shared`) with two scores, such as hits and false alarms.

    Parameters
    ----------
    frame
        One row per image; rows with a missing value in the three columns are left out.
    first, second
        The columns compared.
    shared
        The column both are correlated with.
    method, n_bootstrap, random_state
        As in `correlate`.

    Returns
    -------
    DataFrame
        One row: first, second, shared, method, n, r_first, r_second, r_between, difference, its bootstrap interval
        (ci_low, ci_high) from resamples common to both, Williams' t and Meng, Rosenthal and Rubin's z with p, and
        the share of undefined resamples (as in `correlate`).

    Raises
    ------
    InputError
        As `correlate`.
    """
    _check_options(method, "percentile", n_bootstrap)
    _check_roles([first, second], [shared], ())
    sample = _columns(frame, [first, second, shared]).dropna()
    _check_sample(sample, [first, second, shared], n_rows=len(frame))
    x, y, z = _arrays(sample, [first, second], shared, ())
    r_first, r_second = kernel.correlations(x, y, z, method=method)
    r_between = float(kernel.correlations(x[:, :1], x[:, 1], z, method=method)[0])
    draws = kernel.bootstrap_correlations(x, y, z, method=method, n_bootstrap=n_bootstrap, random_state=random_state)
    differences = draws[:, :1] - draws[:, 1:]
    undefined = float(inference.undefined_share(differences)[0])
    low, high = (
        inference.percentile_interval(differences)[:, 0] if undefined <= inference.MAX_UNDEFINED else (np.nan, np.nan)
    )
    test = inference.compare_dependent(float(r_first), float(r_second), r_between, len(sample))
    row = {"first": first, "second": second, "shared": shared, "method": method, "n": len(sample)}
    row |= {"r_first": r_first, "r_second": r_second, "r_between": r_between, "difference": test.difference}
    row |= {"ci_low": low, "ci_high": high, "williams_t": test.williams_t, "williams_p": test.williams_p}
    return pd.DataFrame([row | {"meng_z": test.meng_z, "meng_p": test.meng_p, "undefined": undefined}])


def joint_model(
    frame: pd.DataFrame,
    measures: Names,
    score: str,
    *,
    n_folds: int = _FOLDS,
    random_state: int | None = RelateOptions.random_state,
) -> dict[str, float]:
    """Explain a score by several measures at once: ordinary least squares, and its cross-validation.

    Parameters
    ----------
    frame
        One row per image; rows with a missing value are left out.
    measures
        Predictor columns.
    score
        The column explained.
    n_folds
        Folds of the cross-validation, shuffled with `random_state`.
    random_state
        Seed.

    Returns
    -------
    dict
        ``n``, ``n_measures``, ``r2``, ``r2_adjusted``, ``p`` (F test of the whole model) and ``r2_cv``: 1 minus the
        squared error of predictions for images left out of the fit, over the variance. It is below 0 where the
        model predicts worse than the mean. All NaN but the counts where images are too few for the predictors.

    Raises
    ------
    InputError
        For columns that are missing, not numeric or constant.
    """
    import statsmodels.api as sm
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_predict

    measures = as_tuple(measures)
    sample = _columns(frame, [*measures, score]).dropna()
    counts = {"n": len(sample), "n_measures": len(measures)}
    if len(sample) < max(len(measures) + 3, n_folds, 2 * _MIN_IMAGES):
        return counts | dict.fromkeys(("r2", "r2_adjusted", "r2_cv", "p"), float("nan"))
    _check_sample(sample, [*measures, score], n_rows=len(frame))
    x, y = sample[list(measures)], sample[score]
    x = (x - x.mean()) / x.std()
    fit = sm.OLS(y, sm.add_constant(_independent(x))).fit()
    folds = KFold(n_folds, shuffle=True, random_state=random_state)
    predicted = cross_val_predict(LinearRegression(), x.to_numpy(), y.to_numpy(), cv=folds)
    r2_cv = float(r2_score(y, predicted))
    return counts | {
        "r2": float(fit.rsquared), "r2_adjusted": float(fit.rsquared_adj), "r2_cv": r2_cv, "p": float(fit.f_pvalue)
    }  # fmt: skip


def _independent(x: pd.DataFrame) -> pd.DataFrame:
    """Columns without those that follow from the columns before them; they explain nothing more."""
    kept: list[str] = []
    for name in x.columns:
        if np.linalg.matrix_rank(x[[*kept, name]].to_numpy()) > len(kept):
            kept.append(name)
    return x[kept]
