"""Which images: a mixed-integer program whose limits are linear, checked and tightened until the real ones hold.

A standardised difference and a ratio of variances are not linear in the selection. The program therefore bounds sums:
the means of cells by a fixed spread, their variances by second moments about a fixed centre, and the correlation of two
factors by their mixed moment about fixed centres. Centre and spread are those of the last solution, first of the
program's relaxation (images may be taken in part), which is fast and comes near. The solution is then checked in real
terms; where one does not hold, centre and spread are taken again, its limit is tightened, and the program solved anew.
Where the program finds no set in its share of the time, swaps of images look for one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from distspc.messages import counted
from distspc.selection.matching.balance import correlations, smd, variance_ratio
from distspc.selection.matching.levels import Candidates
from distspc.selection.matching.program import Program, Solution
from distspc.selection.matching.swaps import Swaps
from distspc.selection.options import Effort, Limits

log = logging.getLogger(__name__)

_RELAXED_ROUNDS, _ROUNDS = 4, 5
_PROGRAM = 0.6  # of the time: the rest is for swaps, where the program finds no set
_MARGIN = 0.98  # of a limit, at first
_TIGHTER = 0.92  # of a limit that did not hold, in the next round
_TIES = 1e-6  # of an image's separation: the seed breaks ties, and nothing else


@dataclass(frozen=True)
class Group:
    """A column of numbers whose means are to be alike in some cells, and their variances too for a covariate."""

    name: str
    cells: tuple[int, ...]
    covariate: bool


@dataclass(frozen=True)
class Scale:
    """About what and in what units the program measures, and how much of the limits it uses.

    Attributes
    ----------
    centre
        Centre of each column of numbers.
    total
        Standard deviation of each column over all cells.
    spread
        Standard deviation by group: within a cell for a covariate, over all candidates for a factor.
    share
        Share of each limit, by group (means), name (variances) and pair of factors (correlation).
    """

    centre: dict[str, float]
    total: dict[str, float]
    spread: dict[Group, float]
    share: dict[object, float] = field(default_factory=dict)

    def share_of(self, limit: object) -> float:
        """Share of a limit that the program may use up."""
        return self.share.get(limit, _MARGIN)

    def tighter(self, broken: set[object]) -> Scale:
        """Scale with less of the limits that did not hold."""
        return replace(self, share={**self.share, **{limit: self.share_of(limit) * _TIGHTER for limit in broken}})


@dataclass(frozen=True)
class Built:
    """A program with the positions of its variables."""

    program: Program
    images: np.ndarray
    per_cell: int
    slack: dict[object, int]
    """Variables by which a solution may exceed a limit, in units of that limit."""


@dataclass(frozen=True)
class Found:
    """Outcome of the search for a set.

    Attributes
    ----------
    chosen
        Whether each candidate is in the set, bool (n_images,), or None where no set holds all limits.
    optimal, gap, seconds, rounds
        Whether the solver proved it best within the gap; that gap; time; programs solved in whole numbers.
    scale
        Of the last program.
    timed_out
        Whether the time ended before a set was found.
    """

    chosen: np.ndarray | None
    optimal: bool
    gap: float
    seconds: float
    rounds: int
    scale: Scale
    timed_out: bool = False


def groups_of(candidates: Candidates) -> list[Group]:
    """What has to be alike: covariates in all cells, a factor in the cells that share its level."""
    every = tuple(range(len(candidates.cells)))
    found = [Group(name, every, covariate=True) for name in candidates.covariates]
    for i, name in enumerate(candidates.by):
        found += [
            Group(name, tuple(cells.tolist()), covariate=False) for cells in candidates.alike(i) if len(cells) > 1
        ]
    return found


def first_scale(candidates: Candidates) -> Scale:
    """Scale from all candidates, before anything is selected."""
    return scale_of(candidates, np.ones(len(candidates.cell)))


def scale_of(candidates: Candidates, weights: np.ndarray, share: dict[object, float] | None = None) -> Scale:
    """Scale from how much of each candidate is taken, (n_images,)."""
    centre, total, spread = {}, {}, {}
    for name in (*candidates.by, *candidates.covariates):
        values = candidates.table[name].to_numpy(float)
        centre[name] = float(np.average(values, weights=weights))
        total[name] = float(np.sqrt(np.average((values - centre[name]) ** 2, weights=weights))) or 1.0
    for group in groups_of(candidates):
        within = [_sd(candidates, group.name, weights, cell) for cell in group.cells if group.covariate]
        spread[group] = min(within, default=total_sd(candidates, group.name))
    return Scale(centre, total, spread, share or {})


def total_sd(candidates: Candidates, name: str) -> float:
    """Standard deviation of a column over all candidates."""
    return float(candidates.table[name].std())


def _sd(candidates: Candidates, name: str, weights: np.ndarray, cell: int) -> float:
    """Standard deviation within a cell, never quite 0."""
    values, w = candidates.table[name].to_numpy(float), weights * (candidates.cell == cell)
    total = total_sd(candidates, name)
    if w.sum() <= 1:
        return total
    mean = np.average(values, weights=w)
    variance = float(w @ (values - mean) ** 2) / (w.sum() - 1)
    return max(float(np.sqrt(variance)), 1e-6 * total)


def build(
    candidates: Candidates,
    limits: Limits,
    scale: Scale,
    per_cell: tuple[int, int],
    *,
    elastic: bool = False,
) -> Built:
    """Put the program together; costs are left to the caller.

    Parameters
    ----------
    candidates, limits, scale
        What may be selected, how alike cells have to be, and in what terms.
    per_cell
        Fewest and most images of a cell: one variable, the same for all cells.
    elastic
        Whether limits may be exceeded by slack variables.
    """
    program = Program()
    x = program.variables(len(candidates.cell), upper=1, integer=True)
    program.fix(x[candidates.must], 1)
    n = int(program.variables(1, *per_cell, integer=True)[0])
    for cell in range(len(candidates.cells)):
        members = x[candidates.cell == cell]
        program.row([*members, n], [1.0] * len(members) + [-1.0], 0, 0)
    for clique in candidates.cliques:
        program.row(x[clique], 1, -np.inf, 1)
    writer = _Rows(candidates, limits, scale, program, x, n, per_cell[1] if elastic else 0)
    writer.write()
    return Built(program, x, n, writer.slack)


@dataclass
class _Rows:
    """Writes the limits into a program."""

    candidates: Candidates
    limits: Limits
    scale: Scale
    program: Program
    x: np.ndarray
    n: int
    slack_unit: int
    """Images of a cell, by which slack is measured; 0 where limits may not be exceeded."""
    slack: dict[object, int] = field(default_factory=dict)

    def write(self) -> None:
        for group in groups_of(self.candidates):
            self._means(group)
            if group.covariate:
                self._variances(group)
        for pair in combinations(range(len(self.candidates.by)), 2):
            self._correlation(*pair)
        for name in self.candidates.categories:
            self._counts(name)

    def _scaled(self, name: str, unit: float) -> np.ndarray:
        return (self.candidates.table[name].to_numpy(float) - self.scale.centre[name]) / unit

    def _slack(self, limit: object, scale: float) -> tuple[list[int], list[float]]:
        """Column and coefficient of a limit's slack, none where it may not be exceeded."""
        if not self.slack_unit:
            return [], []
        if limit not in self.slack:
            self.slack[limit] = int(self.program.variables()[0])
        return [self.slack[limit]], [-scale * self.slack_unit]

    def _between(self, values: np.ndarray, cells: tuple[int, ...], lower: float) -> tuple[int, int]:
        """Add the least and the greatest of some cells' sums over their selected images; returns their columns."""
        least, most = (int(column) for column in self.program.variables(2, lower=lower))
        for cell in cells:
            members = self.candidates.cell == cell
            columns, sums = self.x[members], values[members]
            self.program.row([*columns, least], [*sums, -1.0], 0, np.inf)
            self.program.row([*columns, most], [*sums, -1.0], -np.inf, 0)
        return least, most

    def _means(self, group: Group) -> None:
        least, most = self._between(self._scaled(group.name, self.scale.spread[group]), group.cells, -np.inf)
        allowed = self.limits.max_smd * self.scale.share_of(group)
        extra, weights = self._slack(group, self.limits.max_smd)
        self.program.row([most, least, self.n, *extra], [1.0, -1.0, -allowed, *weights], -np.inf, 0)

    def _variances(self, group: Group) -> None:
        least, most = self._between(self._scaled(group.name, self.scale.spread[group]) ** 2, group.cells, 0.0)
        ratio = 1 + (self.limits.ratio - 1) * self.scale.share_of(group.name)
        extra, weights = self._slack(group.name, self.limits.ratio - 1)
        self.program.row([most, least, *extra], [1.0, -ratio, *weights], -np.inf, 0)

    def _correlation(self, i: int, j: int) -> None:
        first, second = self.candidates.by[i], self.candidates.by[j]
        units = self.scale.total
        product = self._scaled(first, units[first]) * self._scaled(second, units[second])
        n_cells = len(self.candidates.cells)
        allowed = n_cells * self.limits.max_correlation * self.scale.share_of((first, second))
        extra, weights = self._slack((first, second), n_cells * self.limits.max_correlation)
        for sign in (1.0, -1.0):
            columns = [*self.x, self.n, *extra]
            self.program.row(columns, [*(sign * product), -allowed, *weights], -np.inf, 0)

    def _counts(self, name: str) -> None:
        labels = self.candidates.table[name].to_numpy(str)
        for label in np.unique(labels):
            common = int(self.program.variables()[0])
            for cell in range(len(self.candidates.cells)):
                members = self.x[(labels == label) & (self.candidates.cell == cell)]
                extra = [
                    *self._slack((name, label, cell, "more"), 1.0)[0],
                    *self._slack((name, label, cell, "less"), 1.0)[0],
                ]
                signs = [-1.0, 1.0] if extra else []
                self.program.row([*members, common, *extra], [1.0] * len(members) + [-1.0, *signs], 0, 0)


def search(
    candidates: Candidates, limits: Limits, per_cell: int, effort: Effort, *, scale: Scale | None = None
) -> Found:
    """Find the set that separates the factors most, of those that hold all limits.

    Parameters
    ----------
    candidates
        What may be selected.
    limits
        How alike cells have to be.
    per_cell
        Images of each cell.
    effort
        Seed, time and gap.
    scale
        Where to start; from the relaxed program by default.
    """
    clock = _Clock(effort)
    scale = scale or _relaxed_scale(candidates, limits, per_cell, clock)
    found = _search_program(candidates, limits, per_cell, scale, clock)
    if found.chosen is None and found.timed_out:
        chosen = swapped_set(candidates, limits, per_cell, clock.left())
        found = Found(chosen, False, float("nan"), clock.spent(), found.rounds, scale, timed_out=chosen is None)
    return found


def _search_program(candidates: Candidates, limits: Limits, per_cell: int, scale: Scale, clock: _Clock) -> Found:
    """Solve the program until its set holds the limits in real terms."""
    found = Found(None, False, float("nan"), 0.0, 0, scale)
    for i in range(_ROUNDS):
        built = build(candidates, limits, scale, (per_cell, per_cell))
        _ask_separation(built, candidates, per_cell, clock.effort.seed)
        solution = built.program.solve(clock.left(_PROGRAM))
        chosen = _chosen(built, solution)
        found = Found(None, solution.optimal, solution.gap, clock.spent(), i + 1, scale, _out_of_time(solution))
        if chosen is None:
            return found
        broken = broken_limits(candidates, chosen, limits)
        if not broken:
            return replace(found, chosen=chosen)
        log.info("round %d: tightened, as %s not hold in real terms", i + 1, counted(len(broken), "limit", "does"))
        scale = scale_of(candidates, chosen.astype(float), scale.share).tighter(broken)
    return replace(found, timed_out=True)


def swapped_set(candidates: Candidates, limits: Limits, per_cell: int, effort: Effort) -> np.ndarray | None:
    """Return a set that swaps lead to, from the one that is furthest apart whatever the covariates; None without."""
    clock, free = _Clock(effort), Limits(max_smd=1e6, max_correlation=1.0)
    built = build(replace(candidates, covariates=()), free, first_scale(candidates), (per_cell, per_cell))
    _ask_separation(built, candidates, per_cell, effort.seed)
    start = _chosen(built, built.program.solve(clock.left()))
    if start is None:
        return None
    swaps = Swaps(candidates, limits, start, _gain(candidates, per_cell, effort.seed))
    held = swaps.run(np.random.default_rng(effort.seed), clock.left().time_limit)
    return swaps.chosen if held and not broken_limits(candidates, swaps.chosen, limits) else None


def _out_of_time(solution: Solution) -> bool:
    return solution.values is None and not solution.infeasible


def _relaxed_scale(candidates: Candidates, limits: Limits, per_cell: int, clock: _Clock) -> Scale:
    """Scale near that of the solution, from relaxed programs; limits may be exceeded where they have to be."""
    scale = first_scale(candidates)
    for _ in range(_RELAXED_ROUNDS):
        built = build(candidates, limits, scale, (per_cell, per_cell), elastic=True)
        _ask_separation(built, candidates, per_cell, clock.effort.seed)
        built.program.cost(np.array(list(built.slack.values()), int), 1e3)
        solution = built.program.solve(clock.left(), relaxed=True)
        if solution.values is None:
            break
        scale = scale_of(candidates, np.clip(solution.values[built.images], 0, 1))
    return scale


def _chosen(built: Built, solution: Solution) -> np.ndarray | None:
    return None if solution.values is None else np.asarray(solution.values[built.images] > 0.5)


def _ask_separation(built: Built, candidates: Candidates, per_cell: int, seed: int) -> None:
    """Let the program maximise the distance of the means at the ends of each factor."""
    built.program.cost(built.images, -_gain(candidates, per_cell, seed))


def _gain(candidates: Candidates, per_cell: int, seed: int) -> np.ndarray:
    """What each image adds to the distance of the means at the ends of each factor; the seed breaks ties."""
    gain = np.zeros(len(candidates.cell))
    for i, name in enumerate(candidates.by):
        values, level = candidates.table[name].to_numpy(float), candidates.levels[candidates.cell, i]
        n = per_cell * max(len(candidates.cells) // (level.max() + 1), 1)
        gain += (
            np.where(level == level.max(), 1, np.where(level == 0, -1, 0)) * (values - values.mean()) / values.std() / n
        )
    ties = np.random.default_rng(seed).standard_normal(len(gain)) * _TIES / per_cell
    return gain + ties


def broken_limits(candidates: Candidates, chosen: np.ndarray, limits: Limits) -> set[object]:
    """Limits that a set does not hold in real terms: groups (means), names (variances), pairs of factors."""
    broken: set[object] = set()
    for group in groups_of(candidates):
        worst_smd, worst_ratio = real_figures(candidates, chosen, group)
        broken |= {group} if worst_smd > limits.max_smd else set()
        broken |= {group.name} if group.covariate and worst_ratio > limits.ratio else set()
    for pair, r in correlations(candidates.table[chosen], candidates.by).items():
        broken |= {pair} if abs(r) > limits.max_correlation else set()
    return broken


def real_figures(candidates: Candidates, chosen: np.ndarray, group: Group) -> tuple[float, float]:
    """Largest mean difference between two cells of a group, standardised, and largest ratio of variances.

    A covariate is standardised by the SD within the two cells, a factor by its SD over all candidates.
    """
    worst_smd, worst_ratio = 0.0, 1.0
    for a, b in _pairs(candidates, chosen, group):
        d = smd(a, b) if group.covariate else (a.mean() - b.mean()) / total_sd(candidates, group.name)
        worst_smd = max(worst_smd, abs(float(d)))
        ratio = variance_ratio(a, b)
        worst_ratio = max(worst_ratio, ratio, 1 / ratio if ratio > 0 else np.inf)
    return worst_smd, worst_ratio


def _pairs(candidates: Candidates, chosen: np.ndarray, group: Group) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    values = candidates.table[group.name].to_numpy(float)
    return combinations([values[chosen & (candidates.cell == cell)] for cell in group.cells], 2)


@dataclass
class _Clock:
    """What is left of the time."""

    effort: Effort
    start: float = field(default_factory=time.monotonic)

    def spent(self) -> float:
        return time.monotonic() - self.start

    def left(self, share: float = 1.0) -> Effort:
        """What is left of a share of the time."""
        return replace(self.effort, time_limit=max(share * self.effort.time_limit - self.spent(), 0.1))
