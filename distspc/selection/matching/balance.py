"""How alike the cells of a set are: standardised differences, variance ratios, tests."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from distspc.selection.matching.levels import Candidates
from distspc.selection.options import Limits


def smd(first: np.ndarray, second: np.ndarray) -> float:
    """Standardised mean difference: over the root of the mean of both variances (Cohen's d of groups of one size)."""
    difference = first.mean() - second.mean()
    spread = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
    return (
        0.0 if difference == 0 else float(difference / spread) if spread > 0 else float(np.copysign(np.inf, difference))
    )


def variance_ratio(first: np.ndarray, second: np.ndarray) -> float:
    """Variance of the first over that of the second; 1 where both are 0."""
    a, b = first.var(ddof=1), second.var(ddof=1)
    return float(a / b) if b > 0 else 1.0 if a == 0 else float("inf")


def balance_table(candidates: Candidates, chosen: np.ndarray, limits: Limits) -> pd.DataFrame:
    """Compare every two cells of a set in every factor, covariate and category.

    Parameters
    ----------
    candidates
        Images and cells.
    chosen
        Whether each is in the set, bool (n_images,).
    limits
        What counts as alike.

    Returns
    -------
    DataFrame
        A row per variable and pair of cells: ``variable``, ``role`` (``factor``, ``covariate``, ``category``),
        ``cell_a``, ``cell_b``, ``n_a``, ``n_b``, ``mean_a``, ``mean_b``, ``sd_a``, ``sd_b``, ``smd``,
        ``variance_ratio``, ``test``, ``statistic``, ``p`` and ``within_limits`` (missing where the cells are to
        differ). Covariates are standardised by the SD within both cells, factors by their SD over all candidates.
        Categories have no means; their ``statistic`` is chi-squared over all their labels.
    """
    rows = []
    for a, b in combinations(range(len(candidates.cells)), 2):
        parts = tuple(candidates.table[chosen & (candidates.cell == cell)] for cell in (a, b))
        names = {"cell_a": candidates.cells[a], "cell_b": candidates.cells[b]}
        for i, name in enumerate(candidates.by):
            alike = bool(candidates.levels[a, i] == candidates.levels[b, i])
            row = _factor(parts, name, limits, float(candidates.table[name].std()), alike)
            rows.append({"variable": name, "role": "factor", **names, **row})
        rows += [{"variable": name, "role": "covariate", **names, **_covariate(parts, name, limits)}
                 for name in candidates.covariates]  # fmt: skip
        rows += [{"variable": name, "role": "category", **names, **_labels(parts, name)}
                 for name in candidates.categories]  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    *("variable", "role", "cell_a", "cell_b", "n_a", "n_b", "mean_a", "mean_b", "sd_a", "sd_b"),
    *("smd", "variance_ratio", "test", "statistic", "p", "within_limits"),
]


def _numbers(parts: tuple[pd.DataFrame, ...], name: str) -> dict[str, Any]:
    from scipy import stats

    a, b = (part[name].to_numpy(float) for part in parts)
    tested = stats.ttest_ind(a, b, equal_var=False) if np.ptp(np.concatenate([a, b])) > 0 else (0.0, 1.0)
    row = {"n_a": len(a), "n_b": len(b), "mean_a": a.mean(), "mean_b": b.mean(), "sd_a": a.std(ddof=1)}
    row |= {"sd_b": b.std(ddof=1), "smd": smd(a, b), "variance_ratio": variance_ratio(a, b), "test": "Welch's t"}
    return row | {"statistic": float(tested[0]), "p": float(tested[1])}


def _covariate(parts: tuple[pd.DataFrame, ...], name: str, limits: Limits) -> dict[str, Any]:
    row = _numbers(parts, name)
    return row | {"within_limits": abs(row["smd"]) <= limits.max_smd and _even(row["variance_ratio"]) <= limits.ratio}


def _factor(parts: tuple[pd.DataFrame, ...], name: str, limits: Limits, sd: float, alike: bool) -> dict[str, Any]:
    row = _numbers(parts, name)
    row |= {"smd": (row["mean_a"] - row["mean_b"]) / sd}
    return row | {"within_limits": abs(row["smd"]) <= limits.max_smd if alike else None}


def _even(ratio: float) -> float:
    """Ratio of the larger variance to the smaller one."""
    return max(ratio, 1 / ratio) if ratio > 0 else float("inf")


def _labels(parts: tuple[pd.DataFrame, ...], name: str) -> dict[str, Any]:
    from scipy import stats

    counts = pd.DataFrame([part[name].value_counts() for part in parts]).fillna(0).to_numpy()
    row = {"n_a": len(parts[0]), "n_b": len(parts[1]), "test": "chi-squared", "statistic": 0.0, "p": 1.0}
    if counts.shape[1] > 1:
        tested = stats.chi2_contingency(counts, correction=False)
        row |= {"statistic": float(tested.statistic), "p": float(tested.pvalue)}
    return row | {"within_limits": bool((counts[0] == counts[1]).all())}


def correlations(table: pd.DataFrame, by: tuple[str, ...]) -> dict[tuple[str, str], float]:
    """Pearson correlation of every two factors over the rows of a table."""
    return {(a, b): float(np.corrcoef(table[a], table[b])[0, 1]) for a, b in combinations(by, 2)}


def separation(candidates: Candidates, chosen: np.ndarray) -> dict[str, float]:
    """Difference of the means at the highest and the lowest level of each factor, in SD over all candidates."""
    found = {}
    for i, name in enumerate(candidates.by):
        values, level = candidates.table[name].to_numpy(float), candidates.levels[candidates.cell, i]
        top, bottom = (values[chosen & (level == edge)].mean() for edge in (level.max(), 0))
        found[name] = float((top - bottom) / values.std(ddof=1))
    return found
