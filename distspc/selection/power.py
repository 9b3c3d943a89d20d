"""Power of a factorial recognition experiment, by simulation.

Answers are drawn from a logistic model with random subjects and images: the log odds of a correct answer are an
intercept, the effects of the factors, a normal deviation of each subject and of each image, and one of each subject's
effects. Every simulated experiment is tested by the quasi-F ratio F' over proportions (Clark 1973, J. Verb. Learn.
Verb. Behav. 12:335; Winer 1971, section 5.15), whose error terms hold subjects and images as random at once. Its type I
error is near its nominal level where images vary, and below it where they or subjects hardly do (Forster & Dickinson
1976, same journal, 15:135): the power is then on the safe side. It has a closed form, so that a thousand experiments
take seconds where a mixed logistic regression of each would take hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.messages import did_you_mean, shorten

if TYPE_CHECKING:
    from distributed import Client

    from distspc.selection.selection import Selection

CROSS = " x "
"""Between the factors of an interaction, in names of effects."""
SUBJECTS = (10, 20, 30, 40, 60, 80)
_AT_ONCE = 50  # experiments of one task


@dataclass(frozen=True)
class Assumptions:
    """What is assumed about the answers.

    Attributes
    ----------
    effects
        Difference of log odds between the highest and the lowest level, by factor; an interaction, called ``a x b``, is
        the difference of such differences. What is not named is 0.
    rate
        Share of correct answers at the centre of the design.
    subject_sd, image_sd, slope_sd
        Standard deviations of subjects, of images, and of the subjects' effects of a factor, in log odds.
    """

    effects: Mapping[str, float] = field(default_factory=dict)
    rate: float = 0.7
    subject_sd: float = 0.5
    image_sd: float = 0.7
    slope_sd: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise InputError(f"--rate: expected a share between 0 and 1, got {self.rate:g}")
        if min(self.subject_sd, self.image_sd, self.slope_sd) < 0:
            raise InputError("standard deviations of subjects, images and slopes: expected at least 0")


@dataclass(frozen=True)
class Factorial:
    """A factorial design: factors with the same number of levels, images of each cell."""

    by: tuple[str, ...]
    n_levels: int
    per_cell: int

    @property
    def effects(self) -> list[tuple[int, ...]]:
        """Factors of each effect: main effects, then interactions."""
        n = len(self.by)
        return [part for size in range(1, n + 1) for part in combinations(range(n), size)]

    def name(self, effect: tuple[int, ...]) -> str:
        """Name of an effect."""
        return CROSS.join(self.by[i] for i in effect)

    def codes(self, effect: tuple[int, ...]) -> np.ndarray:
        """Code of each cell: from -1/2 to 1/2 over the levels of a factor, products of these for an interaction."""
        levels = np.indices((self.n_levels,) * len(self.by)).reshape(len(self.by), -1) / (self.n_levels - 1) - 0.5
        return np.asarray(levels[list(effect)].prod(axis=0) * 2 ** (len(effect) - 1))

    def contrasts(self, effect: tuple[int, ...]) -> np.ndarray:
        """Orthonormal contrasts of an effect, (degrees of freedom, n_cells)."""
        from scipy.linalg import helmert

        found = np.ones((1, 1))
        for i in range(len(self.by)):
            mean = np.full((1, self.n_levels), self.n_levels**-0.5)
            found = np.kron(found, helmert(self.n_levels) if i in effect else mean)
        return np.asarray(found)


def simulated_power(
    design: Factorial,
    assumed: Assumptions,
    *,
    subjects: Sequence[int] = SUBJECTS,
    n_simulations: int = 1000,
    alpha: float = 0.05,
    seed: int = 0,
    client: Client | None = None,
) -> pd.DataFrame:
    """Simulate a design and return the power of its effects by number of subjects.

    Parameters
    ----------
    design, assumed
        The design, and what is assumed about the answers. Every subject answers once to every image.
    subjects
        Numbers of subjects.
    n_simulations
        Experiments of each number of subjects.
    alpha
        Level of the tests.
    seed
        Of the draws: the same seed gives the same table, with a client or without.
    client
        Dask client whose workers simulate; this process by default.

    Returns
    -------
    DataFrame
        A row per effect and number of subjects: ``effect``, ``assumed`` (log odds), ``subjects``, ``power``, ``ci_low``
        and ``ci_high`` (95 % CI of Wilson). The power of an effect of 0 is the type I error.

    Raises
    ------
    InputError
        If an effect is unknown, or there are too few subjects or simulations.
    """
    _check(design, assumed, subjects, n_simulations)
    starts = range(0, n_simulations, _AT_ONCE)
    parts = [(n, start, min(_AT_ONCE, n_simulations - start)) for n in subjects for start in starts]
    p = _all_p(design, assumed, parts, seed, client)
    return _table(design, assumed, subjects, [part[0] for part in parts], p, alpha)


def effect_names(by: Sequence[str]) -> list[str]:
    """Name the effects of factors: main effects, then interactions."""
    return [CROSS.join(names) for n in range(1, len(by) + 1) for names in combinations(by, n)]


def refuse_unknown_effects(effects: Iterable[str], names: Sequence[str]) -> None:
    """Refuse effects that a design does not have.

    Raises
    ------
    InputError
        Names the first, near misses, and those that there are.
    """
    unknown = [name for name in effects if name not in names]
    if unknown:
        raise InputError(
            f"--effect: there is no effect {unknown[0]!r}; {did_you_mean(unknown[0], names)}"
            f"there are {shorten(names, most=7)}"
        )


def _check(design: Factorial, assumed: Assumptions, subjects: Sequence[int], n_simulations: int) -> None:
    refuse_unknown_effects(assumed.effects, effect_names(design.by))
    if not subjects or min(subjects) < 2 or n_simulations < 1:
        raise InputError("power: expected at least 2 subjects and 1 simulation")


def _all_p(
    design: Factorial, assumed: Assumptions, parts: Sequence[tuple[int, int, int]], seed: int, client: Client | None
) -> list[np.ndarray]:
    if client is None:
        return [simulate(design, assumed, *part, seed) for part in parts]
    tasks = [client.submit(simulate, design, assumed, *part, seed, pure=False) for part in parts]
    return list(client.gather(tasks))


def _table(
    design: Factorial,
    assumed: Assumptions,
    subjects: Sequence[int],
    of: Sequence[int],
    p: list[np.ndarray],
    alpha: float,
) -> pd.DataFrame:
    from statsmodels.stats.proportion import proportion_confint

    rows: list[dict[str, Any]] = []
    for i, effect in enumerate(design.effects):
        for n in subjects:
            found = np.concatenate([part[:, i] for part, of_part in zip(p, of, strict=True) if of_part == n]) < alpha
            low, high = proportion_confint(int(found.sum()), len(found), method="wilson")
            name = design.name(effect)
            row = {"effect": name, "assumed": float(assumed.effects.get(name, 0.0)), "subjects": n}
            rows.append(row | {"power": float(found.mean()), "ci_low": float(low), "ci_high": float(high)})
    return pd.DataFrame(rows)


def simulate(design: Factorial, assumed: Assumptions, n_subjects: int, first: int, n: int, seed: int) -> np.ndarray:
    """Simulate experiments `first` to `first + n` of a number of subjects; returns p of each effect, (n, n_effects)."""
    found = []
    for i in range(first, first + n):
        answers = draw_answers(design, assumed, n_subjects, np.random.default_rng([seed, n_subjects, i]))
        found.append(quasi_f_tests(design, answers))
    return np.array(found)


def draw_answers(design: Factorial, assumed: Assumptions, n_subjects: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one experiment: whether each answer is correct, bool (n_subjects, n_cells, per_cell)."""
    codes = np.array([design.codes(effect) for effect in design.effects])
    sizes = np.array([assumed.effects.get(design.name(effect), 0.0) for effect in design.effects])
    n_main = len(design.by)
    slopes = rng.normal(0, assumed.slope_sd, (n_subjects, n_main)) @ codes[:n_main]
    subjects = rng.normal(0, assumed.subject_sd, (n_subjects, 1))
    images = rng.normal(0, assumed.image_sd, (codes.shape[1], design.per_cell))
    by_cell = np.log(assumed.rate / (1 - assumed.rate)) + sizes @ codes + slopes + subjects
    log_odds = by_cell[:, :, None] + images
    return np.asarray(rng.random(log_odds.shape) < 1 / (1 + np.exp(-log_odds)))


def quasi_f_tests(design: Factorial, answers: np.ndarray) -> np.ndarray:
    """Test every effect with subjects and images as random.

    Parameters
    ----------
    design
        Factors and levels.
    answers
        One answer of each subject to each image, (n_subjects, n_cells, per_cell).

    Returns
    -------
    p of each effect of the design, (n_effects,): of the quasi-F ratio with Satterthwaite's degrees of freedom.
    """
    from scipy.stats import f

    y = np.asarray(answers, float)
    n_subjects, n_cells, per_cell = y.shape
    by_cell, by_image = y.mean(axis=2), y.mean(axis=0)
    cell = by_image.mean(axis=1)
    df_images = n_cells * (per_cell - 1)
    ms_images = n_subjects * ((by_image - cell[:, None]) ** 2).sum() / df_images
    rest = y - by_cell[:, :, None] - by_image + cell[:, None]
    df_rest = (n_subjects - 1) * df_images
    ms_rest = (rest**2).sum() / df_rest
    p = []
    for effect in design.effects:
        contrasts = design.contrasts(effect)
        k, by_subject = len(contrasts), by_cell @ contrasts.T
        mean = by_subject.mean(axis=0)
        ms_effect = n_subjects * per_cell * (mean**2).sum() / k
        df_subjects = k * (n_subjects - 1)
        ms_subjects = per_cell * ((by_subject - mean) ** 2).sum() / df_subjects
        above, below = ms_effect + ms_rest, ms_subjects + ms_images
        df_above = above**2 / (ms_effect**2 / k + ms_rest**2 / df_rest) if above > 0 else 1.0
        df_below = below**2 / (ms_subjects**2 / df_subjects + ms_images**2 / df_images) if below > 0 else 1.0
        p.append(f.sf(above / below, df_above, df_below) if below > 0 else 1.0)
    return np.array(p)


def estimate(trials: pd.DataFrame, design: Factorial, levels: pd.DataFrame) -> Assumptions:
    """Estimate effects and random deviations from trials of an earlier experiment.

    Parameters
    ----------
    trials
        A row per answer: ``subject``, ``image``, ``correct`` (0 or 1).
    design
        The factors.
    levels
        Level of each factor by image, from 0 (rows: images; a column per factor of the design).

    Returns
    -------
    Assumptions
        Of a mixed logistic regression by variational Bayes (statsmodels), with random subjects and images.

    Raises
    ------
    InputError
        If a column is missing, answers are not 0 or 1, or no image of the trials has a level.
    """
    missing = [name for name in ("subject", "image", "correct") if name not in trials.columns]
    if missing:
        raise InputError(f"trial data has no column {shorten(missing)}; it needs subject, image and correct (0 or 1)")
    rows = trials[trials["image"].astype(str).isin(levels.index)]
    if rows.empty:
        raise InputError("trial data: no image of it has the factors; call images as in the table of measures")
    correct = pd.to_numeric(rows["correct"], errors="coerce")
    if not correct.isin([0, 1]).all() or correct.nunique() < 2:
        raise InputError("trial data, column correct: expected 0 and 1, both there")
    return _fit(rows.assign(correct=correct), design, levels)


def _fit(rows: pd.DataFrame, design: Factorial, levels: pd.DataFrame) -> Assumptions:
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    at = levels[list(design.by)].reindex(rows["image"].astype(str)).to_numpy(float)
    main = at / (design.n_levels - 1) - 0.5
    codes = np.stack([main[:, list(e)].prod(axis=1) * 2 ** (len(e) - 1) for e in design.effects], axis=1)
    random = {"subject": "0 + C(subject)", "image": "0 + C(image)"}
    data = pd.DataFrame(codes, columns=[f"e{i}" for i in range(codes.shape[1])])
    data = data.assign(
        correct=rows["correct"].to_numpy(), subject=rows["subject"].to_numpy(str), image=rows["image"].to_numpy(str)
    )
    formula = "correct ~ " + " + ".join(f"e{i}" for i in range(codes.shape[1]))
    fitted = BinomialBayesMixedGLM.from_formula(formula, random, data).fit_vb()
    sds = np.exp(fitted.vcp_mean)
    return Assumptions(
        dict(zip(map(design.name, design.effects), map(float, fitted.fe_mean[1:]), strict=True)),
        rate=float(1 / (1 + np.exp(-fitted.fe_mean[0]))),
        subject_sd=float(sds[0]),
        image_sd=float(sds[1]),
    )


def factorial_of(selection: Selection) -> Factorial:
    """Return the design of a selection."""
    n_levels = int(selection.candidates.levels.max()) + 1
    return Factorial(selection.by, n_levels, len(selection.stimuli) // len(selection.cells))


def levels_of(selection: Selection) -> pd.DataFrame:
    """Return the level of each factor, from 0, of all candidates by name: trials of any of them tell its effect."""
    candidates = selection.candidates
    return pd.DataFrame(candidates.levels[candidates.cell], candidates.table.index, pd.Index(candidates.by))
