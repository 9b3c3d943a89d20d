"""Correlations of the columns of any table: measures of images with scores, partial, compared; multiple regression."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.kernels.statistics import correlations as kernel
from distspc.kernels.statistics import inference
from distspc.kernels.statistics.least_squares import explain, r2_left_out
from distspc.kernels.statistics.permutation import permutation_p
from distspc.memorability.controls import Design, is_labels
from distspc.memorability.options import INTERVALS, METHODS, TESTS, Interval, Method, Names, RelateOptions, Test
from distspc.messages import counted, did_you_mean, shorten

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
    test: Test = RelateOptions.test,
    n_permutations: int = RelateOptions.n_permutations,
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
        least squares on the controls (all of them together). Columns that hold no numbers are labels, such as
        categories: fixed effects, a dummy variable for each label. With ``method="spearman"`` the residuals are of
        the ranks of measure, score and controls of numbers.
    method
        ``"pearson"``, or ``"spearman"`` (the same on ranks).
    n_bootstrap
        Resamples of the images. A resample keeps each image's measure, score and controls together, refits the
        controls, and for Spearman ranks anew.
    random_state
        Seed. A result depends on it and on its own columns alone, not on what else is asked for.
    interval
        ``"percentile"`` (2.5 and 97.5 %) or ``"bca"`` (bias-corrected and accelerated, Efron 1987).
    test
        ``"bootstrap"``, or ``"permutation"``: then ``p_permutation`` too, of permuted scores, for partial correlations
        of their permuted residuals (Freedman and Lane 1983).
    n_permutations
        Permutations of that test.

    Returns
    -------
    DataFrame
        One row per score and measure. Columns: ``measure``, ``given`` (comma-separated), ``method``, ``n`` (images
        with all values), ``r``, ``ci_low``, ``ci_high``, ``p`` (two-tailed, 2 min(share r* < 0, share r* > 0): its
        step is 2 / n_bootstrap, so 0 means less than that), ``score``, ``n_missing`` (rows left out), ``p_t``
        (Student's t), ``p_holm`` (`p_t` after Holm's correction over all rows of the table; not of `p`, whose step
        times the number of tests would often exceed any level), ``n_tests``, ``interval``, ``undefined`` (share of
        resamples that have no correlation, as a column is constant in them; they are left out, and above a
        twentieth there is no interval and no ``p``: NaN), ``p_resolution`` (the step of `p`), ``family`` (the tests
        that Holm's correction counts), and with ``test="permutation"`` ``p_permutation`` (never below
        1 / (n_permutations + 1), its step; Phipson and Smyth 2010).

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
    options = RelateOptions(n_bootstrap, interval, random_state=random_state, test=test, n_permutations=n_permutations)
    _check_options(method, options)
    _check_roles(measures, scores, given)
    values = _columns(frame, [*measures, *scores], given)
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
    table = with_holm(table, "this table")
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
        "has no 95 % CI and no bootstrap p: more than a twentieth of their resamples are undefined": table[many],
        "rests on fewer resamples: some are undefined": table[few],
    }
    return [
        f"{counted(len(rows), 'correlation', words, of=len(table))} ({_largest_shares(rows)})"
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


def with_holm(table: pd.DataFrame, family: str) -> pd.DataFrame:
    """Return a table of correlations with Holm's correction of `p_t` over its rows, columns in their usual order.

    Parameters
    ----------
    table
        Correlations, as `correlate` returns them.
    family
        What the rows are: ``all 12 tests of`` is set before it.
    """
    n_tests = int(np.isfinite(table["p_t"]).sum())
    named = f"all {counted(n_tests, 'test')} of {family}"
    table = table.assign(p_holm=inference.holm(table["p_t"]), n_tests=n_tests, family=named)
    first = ["measure", "given", "method", "n", "r", "ci_low", "ci_high", "p", "score", "n_missing"]
    last = [name for name in ("p_permutation",) if name in table.columns]
    return table[[*first, "p_t", "p_holm", "n_tests", "interval", "undefined", "p_resolution", "family", *last]]


def _bootstrapped(
    sample: pd.DataFrame,
    measures: Sequence[str],
    score: str,
    given: Sequence[str],
    method: str,
    options: RelateOptions,
) -> pd.DataFrame:
    (x, y), design = _arrays(sample, measures, score), Design(sample, given)
    z, groups = design.numbers, design.groups
    r = kernel.correlations(x, y, z, groups=groups, method=method)
    draws = kernel.bootstrap_correlations(
        x, y, z, groups=groups, method=method, n_bootstrap=options.n_bootstrap, random_state=options.random_state
    )
    if options.interval == "bca":
        jackknife = kernel.jackknife_correlations(x, y, z, groups=groups, method=method)
        low, high = inference.bca_interval(r, draws, jackknife)
    else:
        low, high = inference.percentile_interval(draws)
    undefined = inference.undefined_share(draws)
    table = pd.DataFrame(
        {"measure": list(measures), "r": r, "ci_low": low, "ci_high": high, "p": inference.bootstrap_p(draws)}
    )
    table["p_resolution"] = inference.bootstrap_resolution(draws)
    table["p_t"] = inference.t_test_p(r, len(sample), design.n_free)
    if options.test == "permutation":
        table["p_permutation"] = permutation_p(
            x, y, z, groups=groups, method=method, n_permutations=options.n_permutations,
            random_state=options.random_state,
        )  # fmt: skip
    table.loc[undefined > inference.MAX_UNDEFINED, ["ci_low", "ci_high", "p", "p_resolution"]] = np.nan
    return table.assign(undefined=undefined)


def _arrays(sample: pd.DataFrame, measures: Sequence[str], score: str) -> tuple[np.ndarray, np.ndarray]:
    return sample[list(measures)].to_numpy(dtype=float), sample[score].to_numpy(dtype=float)


def _check_options(method: str, options: RelateOptions) -> None:
    allowed = {"method": (method, METHODS), "interval": (options.interval, INTERVALS), "test": (options.test, TESTS)}
    for name, (word, words) in allowed.items():
        if word not in words:
            raise InputError(f"{name} {word!r} is not one of {', '.join(words)}")
    if options.n_bootstrap < 1:
        raise InputError(f"n_bootstrap is {options.n_bootstrap}; it must be at least 1 (1000 in the paper)")
    if options.n_permutations < 1:
        raise InputError(f"n_permutations is {options.n_permutations}; it must be at least 1")


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


def _columns(frame: pd.DataFrame, names: Sequence[str], controls: Sequence[str] = ()) -> pd.DataFrame:
    """Return the named columns as float64, but for controls that hold labels."""
    for name in (*names, *controls):
        if name not in frame.columns:
            near = did_you_mean(name, map(str, frame.columns))
            raise InputError(f"there is no column {name!r}; {near}there are {shorten(frame.columns, most=40)}")
        if is_labels(frame[name]) and name not in controls:
            raise InputError(f"column {name!r} holds {frame[name].dtype}, not numbers")
    labels = [name for name in controls if is_labels(frame[name])]
    numbers = [name for name in (*names, *controls) if name not in labels]
    values = frame[numbers].astype("float64")
    infinite = [name for name in numbers if np.isinf(values[name]).any()]
    if infinite:
        raise InputError(f"column {shorten(infinite)} has infinite values")
    return values.join(frame[labels].astype(object)) if labels else values


def _check_sample(sample: pd.DataFrame, names: Sequence[str], *, n_rows: int) -> None:
    if len(sample) < _MIN_IMAGES:
        raise InputError(
            f"{shorten(names)}: only {counted(len(sample), 'image', 'has', of=n_rows)} all values; at least "
            f"{_MIN_IMAGES} are needed"
        )
    constant = constant_columns(sample, names)
    if constant:
        values = ", ".join(f"{name} is {_shown(sample[name].iloc[0])} for all" for name in constant[:5])
        raise InputError(
            f"constant columns have no correlation ({values}, {counted(len(sample), 'image')}): leave them out"
        )


def constant_columns(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Columns whose known values are all the same, but for rounding."""
    return [name for name in names if _is_constant(frame[name])]


def _is_constant(column: pd.Series) -> bool:
    return len(column.dropna().unique()) == 1 if is_labels(column) else kernel.is_constant(column.to_numpy(dtype=float))


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


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
    _check_options(method, RelateOptions(n_bootstrap))
    _check_roles([first, second], [shared], ())
    sample = _columns(frame, [first, second, shared]).dropna()
    _check_sample(sample, [first, second, shared], n_rows=len(frame))
    (x, y), z = _arrays(sample, [first, second], shared), np.empty((len(sample), 0))
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
    controls: Names = (),
    n_folds: int = _FOLDS,
    random_state: int | None = RelateOptions.random_state,
) -> dict[str, Any]:
    """Explain a score by several measures at once: ordinary least squares, and its cross-validation.

    Parameters
    ----------
    frame
        One row per image; rows with a missing value are left out.
    measures
        Predictor columns.
    score
        The column explained.
    controls
        Further predictors, labels as dummy variables: what the measures explain beside these is given too.
    n_folds
        Folds of the cross-validation, shuffled with `random_state`.
    random_state
        Seed.

    Returns
    -------
    dict
        ``n``, ``n_measures``, ``r2``, ``r2_adjusted``, ``p`` (F test of the whole model) and ``r2_cv``: 1 minus the
        squared error of predictions for images left out of the fit, over the variance. It is below 0 where the
        model predicts worse than the mean. All NaN but the counts where images are too few for the predictors. With
        `controls` also ``controls`` (comma-separated), ``r2_controls`` (R^2 of these alone) and ``p_measures`` (F test
        of what the measures add).

    Raises
    ------
    InputError
        For columns that are missing, not numeric or constant.
    """
    measures, controls = as_tuple(measures), as_tuple(controls)
    sample = _columns(frame, [*measures, score], controls).dropna()
    counts: dict[str, Any] = {"n": len(sample), "n_measures": len(measures)}
    design = _basis(Design(sample, controls).columns())
    named = {"controls": ", ".join(controls)} if controls else {}
    names = ("r2", "r2_adjusted", "r2_cv", "p", *(("r2_controls", "p_measures") if controls else ()))
    if len(sample) < max(len(measures) + design.shape[1] + 3, n_folds, 2 * _MIN_IMAGES):
        return counts | named | dict.fromkeys(names, float("nan"))
    _check_sample(sample, [*measures, score], n_rows=len(frame))
    x, y = sample[list(measures)], sample[score]
    x = (x - x.mean()) / x.std()
    held = pd.DataFrame(design, index=x.index, columns=[f"\0{i}" for i in range(design.shape[1])])
    x = pd.concat([held, x], axis=1)
    fit = explain(_independent(x, list(held.columns)).to_numpy(), y.to_numpy())
    r2_cv = r2_left_out(x.to_numpy(), y.to_numpy(), n_folds=n_folds, random_state=random_state)
    values = (fit.r2, fit.r2_adjusted, r2_cv, fit.p)
    found = counts | named | dict(zip(names, values, strict=False))
    if controls:
        alone = explain(design, y.to_numpy())
        found |= {"r2_controls": alone.r2, "p_measures": fit.p_beyond(alone)}
    return found


def _basis(columns: np.ndarray) -> np.ndarray:
    """Orthonormal columns that, with the mean, span some columns."""
    if not columns.shape[1]:
        return columns
    centred = columns - columns.mean(axis=0)
    spread = centred.std(axis=0)
    u, s, _ = np.linalg.svd(centred / np.where(spread > 0, spread, 1.0), full_matrices=False)
    return np.asarray(u[:, s > 1e-10 * max(float(s.max(initial=0.0)), 1e-10)])


def _independent(x: pd.DataFrame, first: Sequence[str] = ()) -> pd.DataFrame:
    """Columns without those that follow from the columns before them; they explain nothing more."""
    kept: list[str] = list(first)
    for name in (name for name in x.columns if name not in first):
        if np.linalg.matrix_rank(x[[*kept, name]].to_numpy()) > len(kept):
            kept.append(name)
    return x[kept]
