"""Images for a factorial experiment: levels, matching, and what came out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.selection.image_table import as_image_table
from distspc.selection.matching.balance import balance_table, correlations, separation
from distspc.selection.matching.infeasible import check_counts, diagnose, holds, nearest
from distspc.selection.matching.levels import LEVEL, Candidates, find_candidates, level_names
from distspc.selection.matching.near_duplicates import Distances, cliques, identical_pairs, near_pairs, too_near
from distspc.selection.matching.search import Found, search
from distspc.selection.options import Design, Effort, Limits, Split

log = logging.getLogger(__name__)

Names = str | Sequence[str]

_MEASURED_ROUNDS = 10


@dataclass(frozen=True)
class Selection:
    """A matched set of images.

    Attributes
    ----------
    stimuli
        A row per selected image, by name, in the order of the cells: ``file`` where the table has one, ``cell``,
        ``level:`` and value of each factor, covariates, categories.
    balance
        Every two cells compared, see `distspc.selection.matching.balance.balance_table`.
    candidates
        What was selected from.
    correlation_before, correlation_after
        Pearson correlation of every two factors, over the candidates and over the set.
    separation
        Difference of the means at the highest and the lowest level of each factor, in SD over the candidates.
    optimal, gap, seconds
        Whether the solver proved the set best within its gap; the gap that it proved; its time.
    notices
        A sentence for each thing that was left out or that limits what is proven.
    near
        Pairs of images, selected or not, that are identical or nearer than the smallest distance.
    """

    stimuli: pd.DataFrame
    balance: pd.DataFrame
    candidates: Candidates
    correlation_before: dict[tuple[str, str], float]
    correlation_after: dict[tuple[str, str], float]
    separation: dict[str, float]
    optimal: bool
    gap: float
    seconds: float
    notices: tuple[str, ...] = field(default=())
    near: tuple[tuple[str, str], ...] = field(default=())

    @property
    def by(self) -> tuple[str, ...]:
        """The factors."""
        return self.candidates.by

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells."""
        return self.candidates.cells


def select_stimuli(
    table: pd.DataFrame,
    *,
    by: Names,
    per_cell: int,
    match: Names = (),
    levels: int = 2,
    split: Split = "quantiles",
    cuts: Mapping[str, Sequence[float]] | None = None,
    exclude: Names = (),
    must: Names = (),
    max_smd: float = 0.1,
    variance_ratio: tuple[float, float] = (0.8, 1.25),
    max_correlation: float = 0.02,
    min_distance: Mapping[str, float] | None = None,
    distances: Distances | None = None,
    seed: int = 0,
    time_limit: float = 60.0,
    gap: float = 0.01,
) -> Selection:
    """Choose images for a factorial experiment whose cells differ in the factors and in nothing else.

    The set is the solution of a mixed-integer program (HiGHS): of all sets that hold the limits, the one whose factors
    are furthest apart. The same seed gives the same set, unless the time limit ended the search.

    Parameters
    ----------
    table
        A row per image, indexed by its name or with a column ``image``; or a tidy table with a row per image and layer,
        as `tidy_table` gives it, whose measures are then called ``measure:layer``. A column ``file`` is carried along;
        columns ``neighbour:layer`` beside ``distinctiveness:layer`` tell near-duplicates.
    by
        One to three factors, columns of numbers.
    per_cell
        Images of each cell.
    match
        Columns in which all cells are to be alike: numbers in mean and variance, labels in counts.
    levels, split, cuts
        Levels of each factor; by ``"quantiles"``, or the ``"outer-terciles"`` without the middle; cut points by factor
        instead, of which two with two levels leave the middle out.
    exclude, must
        Names of images that must not, and that have to be in the set.
    max_smd, variance_ratio, max_correlation
        Largest standardised mean difference and range of the ratio of variances of a covariate between any two cells;
        largest correlation of two factors over the set. Within a level of one factor, `max_smd` also holds for that
        factor between the levels of the others.
    min_distance
        Smallest distance allowed between two images, by layer. Identical images are never both in the set.
    distances
        Measures the distances between images at a layer; without it only pairs that the table names are found.
    seed, time_limit, gap
        Of the solver; time in seconds; the gap is the relative distance from the proven bound.

    Returns
    -------
    Selection
        The set, its balance, and how good it is proven to be.

    Raises
    ------
    InputError
        For columns, images and settings that cannot be used.
    NoSelectionError
        If no set holds all limits (an InputError): it names the cell, the covariate, and what would be possible.
    """
    pairs = {name: tuple(float(cut) for cut in points) for name, points in (cuts or {}).items()}
    design = Design(_names(by), per_cell, levels, split, pairs)
    limits, effort = Limits(max_smd, variance_ratio, max_correlation), Effort(seed, time_limit, gap)
    images = as_image_table(table)
    candidates = find_candidates(images, design, _names(match), _names(exclude), _names(must))
    floors = dict(min_distance or {})
    near, same = near_pairs(images, floors), identical_pairs(images)
    candidates = replace(candidates, cliques=cliques(near, candidates.table.index, same))
    candidates, found = _search_apart(candidates, limits, per_cell, effort, floors, distances)
    selection = _selection(images, candidates, found, limits, _notices(found, effort, floors, distances))
    return replace(selection, near=tuple(near))


def _names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(str(name) for name in names)


def _search_apart(
    candidates: Candidates,
    limits: Limits,
    per_cell: int,
    effort: Effort,
    floors: Mapping[str, float],
    distances: Distances | None,
) -> tuple[Candidates, Found]:
    """Search until no two images of the set are too near by their measured distances."""
    for _ in range(_MEASURED_ROUNDS):
        found = _search(candidates, limits, per_cell, effort)
        assert found.chosen is not None
        names = [str(name) for name in candidates.table.index[found.chosen]]
        near = too_near(distances, names, floors) if distances is not None else []
        if not near:
            return candidates, found
        more = cliques(near, candidates.table.index)
        candidates = replace(candidates, cliques=(*candidates.cliques, *more))
    raise InputError(
        f"no set whose images are all further apart than --min-distance was found in {_MEASURED_ROUNDS} searches: "
        "lower the distance"
    )


def _search(candidates: Candidates, limits: Limits, per_cell: int, effort: Effort) -> Found:
    """Search, and where there is no set say why."""
    check_counts(candidates, per_cell)
    found = search(candidates, limits, per_cell, effort)
    if found.chosen is not None:
        return found
    if found.timed_out:
        raise InputError(
            f"no set was found within {effort.time_limit:g} s, nor was it proven that there is none: "
            "raise --time-limit, or match fewer covariates"
        )
    close = nearest(candidates, limits, per_cell, found.scale, effort)
    if close is not None and holds(candidates, close.chosen, limits):  # what is linear was too strict for it
        again = search(candidates, limits, per_cell, effort, scale=close.scale)
        return (
            again if again.chosen is not None else replace(again, chosen=close.chosen, optimal=False, gap=float("nan"))
        )
    raise diagnose(candidates, limits, per_cell, close, effort)


def _notices(found: Found, effort: Effort, floors: Mapping[str, float], distances: Distances | None) -> tuple[str, ...]:
    notices = []
    if not found.optimal and np.isnan(found.gap):
        notices.append(
            "the set holds all limits, but how far it is from the best is not known, and another machine may find "
            "another: raise --time-limit, or match fewer covariates, to have it proven"
        )
    elif not found.optimal:
        notices.append(
            f"the time limit of {effort.time_limit:g} s ended the search: the set holds all limits and is within "
            f"{found.gap:.1%} of the best, but another machine may find another; raise the limit to have it proven"
        )
    if distances is None and any(floor > 0 for floor in floors.values()):
        notices.append(
            "the table names one nearest neighbour of each image: pairs nearer than --min-distance that are not "
            "nearest neighbours are not found; a study with its activations finds them all"
        )
    return tuple(notices)


def _selection(
    images: pd.DataFrame, candidates: Candidates, found: Found, limits: Limits, notices: tuple[str, ...]
) -> Selection:
    chosen = found.chosen
    assert chosen is not None
    for sentence in (*candidates.notices, *notices):
        log.info(sentence)
    return Selection(
        _stimuli(images, candidates, chosen),
        balance_table(candidates, chosen, limits),
        candidates,
        correlations(candidates.table, candidates.by),
        correlations(candidates.table[chosen], candidates.by),
        separation(candidates, chosen),
        found.optimal,
        found.gap,
        found.seconds,
        (*candidates.notices, *notices),
    )


def _stimuli(images: pd.DataFrame, candidates: Candidates, chosen: np.ndarray) -> pd.DataFrame:
    at = np.flatnonzero(chosen)[np.argsort(candidates.cell[chosen], kind="stable")]
    names, cells = candidates.table.index[at], candidates.cell[at]
    stimuli = pd.DataFrame(index=pd.Index(names, name="image"))
    if "file" in images.columns:
        stimuli["file"] = images.loc[names, "file"]
    stimuli["cell"] = np.array(candidates.cells, object)[cells]
    words = np.array(level_names(int(candidates.levels.max()) + 1), object)
    for i, name in enumerate(candidates.by):
        stimuli[f"{LEVEL}{name}"] = words[candidates.levels[cells, i]]
    return stimuli.join(candidates.table[[*candidates.by, *candidates.covariates, *candidates.categories]])
