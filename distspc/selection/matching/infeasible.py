"""Why there is no set, what to relax, and what would then be possible."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from distspc.errors import InputError
from distspc.messages import shorten
from distspc.selection.matching.balance import correlations
from distspc.selection.matching.levels import Candidates
from distspc.selection.matching.search import (
    Built,
    Group,
    Scale,
    broken_limits,
    build,
    groups_of,
    real_figures,
    scale_of,
    search,
)
from distspc.selection.options import Effort, Limits

_ROUNDS = 3
_LEAST_TIME = 10.0  # seconds, for each question of a diagnosis
_LOOSE_GAP = 0.05


class NoSelectionError(InputError):
    """No set of images holds all limits.

    Attributes
    ----------
    reasons : tuple of str
        What stands in the way: cells, covariates.
    ways_out : tuple of str
        What to relax, and what is then possible; each was tried.
    """

    def __init__(self, design: str, reasons: tuple[str, ...], ways_out: tuple[str, ...]) -> None:
        ways = (
            f". Possible instead: {'; '.join(ways_out)}"
            if ways_out
            else ". Match fewer covariates, or widen the limits"
        )
        super().__init__(f"no set of {design}: {'; '.join(reasons)}{ways}")
        self.reasons, self.ways_out = reasons, ways_out


@dataclass(frozen=True)
class Nearest:
    """The set that exceeds the limits least, which may hold them after all, and the terms it was found in."""

    chosen: np.ndarray
    scale: Scale


def describe(candidates: Candidates, per_cell: int) -> str:
    """Size of a set in words, as in 4 x 48 images."""
    return f"{len(candidates.cells)} x {per_cell} images"


def check_counts(candidates: Candidates, per_cell: int) -> None:
    """Refuse a set for which a cell has too few images, or too many that must be in it.

    Raises
    ------
    NoSelectionError
        Names each such cell and how many it has.
    """
    free = _free_counts(candidates)
    few = [f"cell {name} has {n} candidates" for name, n in zip(candidates.cells, free, strict=True) if n < per_cell]
    if few:
        ways = (f"--per-cell {free.min()}",) if free.min() >= 2 else ("other levels or cut points",)
        raise NoSelectionError(describe(candidates, per_cell), tuple(few), ways)
    forced = np.bincount(candidates.cell[candidates.must], minlength=len(candidates.cells))
    many = [
        f"cell {name} must hold {n} (--must)" for name, n in zip(candidates.cells, forced, strict=True) if n > per_cell
    ]
    if many:
        raise NoSelectionError(describe(candidates, per_cell), tuple(many), (f"--per-cell {forced.max()}",))
    _check_must_apart(candidates)


def _free_counts(candidates: Candidates) -> np.ndarray:
    """Images of each cell, near-duplicates within it counted once where cliques do not overlap."""
    counts, seen = candidates.counts.copy(), np.zeros(len(candidates.cell), bool)
    for clique in candidates.cliques:
        if not seen[clique].any():
            seen[clique] = True
            counts -= np.maximum(np.bincount(candidates.cell[clique], minlength=len(counts)) - 1, 0)
    return counts


def _check_must_apart(candidates: Candidates) -> None:
    for clique in candidates.cliques:
        both = clique[candidates.must[clique]]
        if len(both) > 1:
            raise InputError(
                f"--must: {shorten(candidates.table.index[both])} are identical or nearer than --min-distance; "
                "keep one of them"
            )


def nearest(candidates: Candidates, limits: Limits, per_cell: int, scale: Scale, effort: Effort) -> Nearest | None:
    """Find the set that exceeds the limits least; None where cells cannot be filled at all."""
    best: Nearest | None = None
    for _ in range(_ROUNDS):
        built = build(candidates, limits, scale, (per_cell, per_cell), elastic=True)
        built.program.cost(np.array(list(built.slack.values()), int), 1.0)
        solution = built.program.solve(_question(effort))
        if solution.values is None:
            return best
        best = Nearest(solution.values[built.images] > 0.5, scale)
        if holds(candidates, best.chosen, limits):
            break
        broken = broken_limits(candidates, best.chosen, limits)
        scale = scale_of(candidates, best.chosen.astype(float), scale.share).tighter(broken)
    return best


def holds(candidates: Candidates, chosen: np.ndarray, limits: Limits) -> bool:
    """Whether a set holds all limits, in real terms, and has categories in equal counts."""
    return not broken_limits(candidates, chosen, limits) and not _uneven(candidates, chosen)


def diagnose(
    candidates: Candidates, limits: Limits, per_cell: int, nearest_set: Nearest | None, effort: Effort
) -> NoSelectionError:
    """Say why there is no set: what the nearest one exceeds, and what was found to be possible."""
    design = describe(candidates, per_cell)
    ways = _largest(candidates, limits, per_cell, effort)
    if nearest_set is None:
        reason = "images that must be in the set, or may not be together, leave cells short"
        return NoSelectionError(design, (reason,), ways)
    chosen = nearest_set.chosen
    reasons, culprits = _reasons(candidates, chosen, limits)
    return NoSelectionError(
        design,
        reasons,
        (*_wider(candidates, chosen, limits), *ways, *_without(candidates, limits, per_cell, culprits, effort)),
    )


def _reasons(candidates: Candidates, chosen: np.ndarray, limits: Limits) -> tuple[tuple[str, ...], list[str]]:
    """What the nearest set exceeds, in words, and the names of the covariates and categories among it."""
    reasons, culprits = [], []
    broken = broken_limits(candidates, chosen, limits)
    for group in groups_of(candidates):
        worst, ratio = real_figures(candidates, chosen, group)
        if group in broken:
            reasons.append(f"{_subject(group)} cannot be matched: {_apart(candidates, chosen, group)}, "
                        f"standardised difference {worst:.2f}, allowed {limits.max_smd:g}")  # fmt: skip
        if group.covariate and group.name in broken:
            reasons.append(
                f"{group.name} cannot be matched: its variances differ {ratio:.2f}-fold, allowed {limits.ratio:.3g}"
            )
        culprits += [group.name] if group.covariate and {group, group.name} & broken else []
    for (a, b), r in correlations(candidates.table[chosen], candidates.by).items():
        if (a, b) in broken:
            reasons.append(f"{a} and {b} stay correlated: r = {r:.2f}, allowed {limits.max_correlation:g}")
    for name, label, counts in _uneven(candidates, chosen):
        reasons.append(f"category {name} {label!r} cannot be in equal counts: {counts}")
        culprits.append(name)
    return tuple(reasons), list(dict.fromkeys(culprits))


def _subject(group: Group) -> str:
    return group.name if group.covariate else f"factor {group.name} within a level"


def _apart(candidates: Candidates, chosen: np.ndarray, group: Group) -> str:
    """Means of the two cells that are furthest apart."""
    values = candidates.table[group.name].to_numpy(float)
    means = {candidates.cells[cell]: values[chosen & (candidates.cell == cell)].mean() for cell in group.cells}
    low, high = min(means, key=lambda cell: means[cell]), max(means, key=lambda cell: means[cell])
    return f"cell {low} has mean {means[low]:.4g}, cell {high} {means[high]:.4g}"


def _uneven(candidates: Candidates, chosen: np.ndarray) -> list[tuple[str, str, str]]:
    """Categories whose labels are not in equal counts: name, label, counts by cell."""
    found = []
    for name in candidates.categories:
        labels = candidates.table[name].to_numpy(str)
        for label in np.unique(labels):
            counts = np.bincount(candidates.cell[chosen & (labels == label)], minlength=len(candidates.cells))
            if np.ptp(counts):
                pairs = zip(candidates.cells, counts, strict=True)
                found.append((name, str(label), ", ".join(f"{n} in {cell}" for cell, n in pairs)))
    return found


def _wider(candidates: Candidates, chosen: np.ndarray, limits: Limits) -> tuple[str, ...]:
    """Limits that the nearest set holds; none where its categories are uneven, which no limit allows."""
    if _uneven(candidates, chosen):
        return ()
    smds, ratios = zip(*(real_figures(candidates, chosen, group) for group in groups_of(candidates)), strict=True)
    by_name = [r for r, group in zip(ratios, groups_of(candidates), strict=True) if group.covariate]
    r = max((abs(r) for r in correlations(candidates.table[chosen], candidates.by).values()), default=0.0)
    options = [f"--max-smd {_up(max(smds))}"] if max(smds) > limits.max_smd else []
    if max(by_name, default=1.0) > limits.ratio:
        high = _up(max(by_name))
        options.append(f"--variance-ratio {np.floor(100 / float(high)) / 100:.2f} {high}")
    options += [f"--max-correlation {_up(r)}"] if r > limits.max_correlation else []
    return (" ".join(options),) if options else ()


def _up(value: float) -> str:
    """The value with two decimals, rounded up."""
    return f"{np.ceil(value * 100 + 1e-9) / 100:.2f}"


def _question(effort: Effort) -> Effort:
    return replace(effort, time_limit=max(effort.time_limit / 4, _LEAST_TIME), gap=max(effort.gap, _LOOSE_GAP))


def _largest(candidates: Candidates, limits: Limits, per_cell: int, effort: Effort) -> tuple[str, ...]:
    """The largest set that holds all limits."""
    scale, most = scale_of(candidates, np.ones(len(candidates.cell))), per_cell
    for _ in range(_ROUNDS):
        built = build(candidates, limits, scale, (2, most))
        built.program.cost(np.array([built.per_cell]), -1.0)
        solution = built.program.solve(_question(effort))
        if solution.values is None:
            return ()
        chosen, n = _read(built, solution.values)
        if not broken_limits(candidates, chosen, limits):
            return (f"--per-cell {n}",) if n < per_cell else ()
        scale = scale_of(candidates, chosen.astype(float), scale.share).tighter(
            broken_limits(candidates, chosen, limits)
        )
    return ()


def _read(built: Built, values: np.ndarray) -> tuple[np.ndarray, int]:
    return values[built.images] > 0.5, round(float(values[built.per_cell]))


def _without(
    candidates: Candidates, limits: Limits, per_cell: int, culprits: list[str], effort: Effort
) -> tuple[str, ...]:
    """Covariates without which there is a set."""
    found = []
    for name in culprits[:3]:
        fewer = replace(
            candidates,
            covariates=tuple(one for one in candidates.covariates if one != name),
            categories=tuple(one for one in candidates.categories if one != name),
        )
        if search(fewer, limits, per_cell, _question(effort)).chosen is not None:
            found.append(f"leave --match {name} out")
    return tuple(found)
