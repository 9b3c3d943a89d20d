"""Correlations within categories, their meta-analytic mean, and mixed models with an intercept for each category."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from distspc.kernels.statistics import inference
from distspc.kernels.statistics import within as kernel
from distspc.memorability.controls import Design
from distspc.messages import counted, shorten
from distspc.store.notices import Notice


def correlations_within(
    frame: pd.DataFrame, measures: Sequence[str], scores: Sequence[str], labels: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame, list[Notice]]:
    """Pearson correlations of measures with scores within each category, and their mean over the categories.

    Parameters
    ----------
    frame
        A row per image.
    measures, scores
        Columns of numbers.
    labels
        Category of each image; those without one do not count.

    Returns
    -------
    within : DataFrame
        A row per measure, score and category of at least 4 images: ``n``, ``r``, its 95 % CI by Fisher's z, ``p_t``.
    means : DataFrame
        A row per measure and score: mean of Fisher's z weighted by n - 3 as ``r``, its 95 % CI and p, Cochran's ``q``
        with ``q_p``, ``i2``, numbers of images and categories.
    notices : list of Notice
        Categories that are too small, and images without one.
    """
    sizes = labels.value_counts(sort=False)
    small = [name for name, n in sizes.items() if n < kernel.FEWEST]
    rows: list[dict[str, Any]] = []
    for name, part in frame[~labels.isin(small)].groupby(labels, sort=False):
        r, n = kernel.pairwise_correlations(*(part[list(names)].to_numpy(dtype=float) for names in (measures, scores)))
        rows += [
            {"measure": measure, "score": score, "category": str(name), "n": int(n[i, j]), "r": r[i, j]}
            for i, measure in enumerate(measures)
            for j, score in enumerate(scores)
            if n[i, j] >= kernel.FEWEST and np.isfinite(r[i, j])
        ]
    table = pd.DataFrame(rows, columns=["measure", "score", "category", "n", "r"])
    low, high = kernel.fisher_interval(table["r"].to_numpy(dtype=float), table["n"].to_numpy(dtype=float))
    table = table.assign(ci_low=low, ci_high=high, p_t=inference.t_test_p(table["r"], table["n"]))
    means = [
        {"measure": measure, "score": score}
        | kernel.mean_correlation(part["r"].to_numpy(), part["n"].to_numpy())._asdict()
        for (measure, score), part in table.groupby(["measure", "score"], sort=False)
    ]
    named = pd.DataFrame(means, columns=["measure", "score", *kernel.MeanCorrelation._fields])
    return table, named.rename(columns={"n_groups": "n_categories"}), _left_out(labels, small)


def _left_out(column: pd.Series, small: Sequence[Any]) -> list[Notice]:
    found, category = [], column.name
    if small:
        found.append(
            f"Within {category}: no correlation of their own for {len(small)} with fewer than {kernel.FEWEST} images: "
            f"{shorten(small)}."
        )
    if n := int(column.isna().sum()):
        found.append(f"Within {category}: {counted(n, 'image', 'has', of=len(column))} no {category}: left out.")
    return [Notice(sentence) for sentence in found]


# ---------------------------------------------------------------------------------------------- mixed models


def mixed_models(
    frame: pd.DataFrame, measures: Sequence[str], scores: Sequence[str], labels: pd.Series, controls: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[Notice]]:
    """Linear mixed models of each score on each measure, with a random intercept for each category (REML).

    Parameters
    ----------
    frame
        A row per image.
    measures, scores
        Columns of numbers; both are standardised.
    labels
        Category of each image; those without one do not count.
    controls
        Columns of further fixed effects; labels as dummy variables.

    Returns
    -------
    table : DataFrame
        A row per measure and score: ``coefficient`` (standardised), its 95 % CI and p (normal approximation), ``icc``
        (share of the variance left that is between categories), ``n``, ``n_categories``, ``converged``.
    notices : list of Notice
        Why there are none, and which did not converge.
    """
    sizes = labels.value_counts()
    if (sizes > 1).sum() < 2:
        text = f"No mixed model: fewer than 2 of {len(sizes)} values of {labels.name} have more than one image."
        return pd.DataFrame(), [Notice(text)]
    frame = frame[labels.notna()]
    rows = [
        {"measure": measure, "score": score, "given": ", ".join(controls)}
        | _mixed_model(frame[[measure, score, *controls]].dropna(), controls, labels)
        for score in scores
        for measure in measures
        if not {measure, score} & set(controls)
    ]
    return pd.DataFrame(rows), _convergence(pd.DataFrame(rows))


_OPTIMISERS = ["bfgs", "lbfgs", "powell"]
"""Tried in turn: the last finds its way where the categories' variance is 0, which is an edge."""

_NOTHING = dict.fromkeys(("coefficient", "ci_low", "ci_high", "p", "icc"), float("nan"))


def _mixed_model(sample: pd.DataFrame, controls: Sequence[str], labels: pd.Series) -> dict[str, Any]:
    """Fit one model of measure and score, the first columns of a sample; warnings become its convergence."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    x, y = (_standardised(sample.iloc[:, [i]].to_numpy(dtype=float)) for i in (0, 1))
    design = np.column_stack([x, _standardised(Design(sample, controls).columns())])
    groups = labels[sample.index].to_numpy(dtype=str)
    counts = {"n": len(sample), "n_categories": len(np.unique(groups))}
    n_columns = design.shape[1] + 1
    if len(sample) < n_columns + 3 or np.linalg.matrix_rank(design) < n_columns - 1 or not y.std() > 0:
        return counts | _NOTHING | {"converged": False}
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")  # what they say is in `converged`, and told once for all models
        try:
            exog = np.column_stack([np.ones(len(sample)), design])
            found = MixedLM(y[:, 0], exog, groups=groups).fit(method=_OPTIMISERS)
            low, high = found.conf_int()[1]
            error = float(found.bse[1])
        except np.linalg.LinAlgError:
            return counts | _NOTHING | {"converged": False}
    between = float(found.cov_re[0, 0])
    return counts | {
        "coefficient": float(found.fe_params[1]), "ci_low": float(low), "ci_high": float(high),
        "p": float(found.pvalues[1]), "icc": between / (between + float(found.scale)),
        "converged": bool(found.converged and np.isfinite(error)),
    }  # fmt: skip


def _standardised(columns: np.ndarray) -> np.ndarray:
    centred = columns - columns.mean(axis=0)
    spread = columns.std(axis=0, ddof=1)
    return np.asarray(centred / np.where(spread > 1e-12, spread, 1.0))


def _convergence(table: pd.DataFrame) -> list[Notice]:
    found = []
    failed = table[~table["converged"].astype(bool)]
    if len(failed):
        names = shorten([f"{row['measure']} with {row['score']}" for row in failed.to_dict("records")])
        text = f"{counted(len(failed), 'mixed model', of=len(table))} did not converge: do not use the coefficients of"
        found.append(Notice(f"{text} {names}.", warning=True))
    flat = table[table["converged"].astype(bool) & (table["icc"] < 1e-6)]
    if len(flat):
        found.append(
            Notice(
                f"In {counted(len(flat), 'mixed model', of=len(table))} the categories' intercepts have no variance: "
                "the scores differ no more between categories than within; the model is then that of all images."
            )
        )
    return found
