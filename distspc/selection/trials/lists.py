"""Trial lists of a recognition experiment with rapid serial visual presentation (RSVP), counterbalanced over subjects.

A trial shows a stream of images at one duration, then a probe: old (one of the stream) or new (in no stream). Probes
are the selected images, each once per subject; the rest of the streams are fillers. An image's condition is one of
durations times old or new, and moves on by one from subject to subject: after as many subjects as there are conditions
every image has had each of them once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.messages import counted
from distspc.selection.matching.levels import LEVEL

Paradigm = Literal["rsvp"]
PARADIGMS: tuple[Paradigm, ...] = get_args(Paradigm)


class Condition(NamedTuple):
    """What happens to a probe: duration of the stream in ms, and whether the probe was in it."""

    duration_ms: int
    old: bool


@dataclass(frozen=True)
class TrialDesign:
    """How the trials of a subject are made.

    Attributes
    ----------
    images_per_trial
        Images of a stream.
    durations
        Durations of an image, in ms.
    blocks, subjects
        Blocks of a subject; subjects.
    """

    images_per_trial: int = 6
    durations: tuple[int, ...] = (34, 84, 167)
    blocks: int = 12
    subjects: int = 50

    def __post_init__(self) -> None:
        for name, value in (
            ("--images-per-trial", self.images_per_trial), ("--blocks", self.blocks), ("--subjects", self.subjects),
        ):  # fmt: skip
            if value < 1:
                raise InputError(f"{name}: expected at least 1, got {value}")
        if not self.durations or min(self.durations) < 1 or len(set(self.durations)) < len(self.durations):
            got = ", ".join(map(str, self.durations)) or "none"
            raise InputError(f"--durations: expected different numbers of ms above 0, got {got}")

    @property
    def conditions(self) -> list[Condition]:
        """All conditions of a probe."""
        return [Condition(duration, old) for duration in self.durations for old in (True, False)]


def trial_notices(design: TrialDesign, n_stimuli: int) -> list[str]:
    """Say where numbers do not divide, so that counts differ by one."""
    n, found = len(design.conditions), []
    if design.subjects % n:
        fewer = design.subjects - design.subjects % n
        even = " or ".join(str(subjects) for subjects in (fewer, fewer + n) if subjects)
        found.append(
            f"{counted(design.subjects, 'subject', 'is')} no multiple of the {n} conditions (durations times old and "
            f"new): how often an image has each differs by one; with {even} subjects it would be equal"
        )
    if n_stimuli % design.blocks:
        found.append(
            f"{counted(n_stimuli, 'trial', 'does')} not divide into {counted(design.blocks, 'block')}: these differ by "
            "one trial"
        )
    return found


def n_fillers_needed(design: TrialDesign, n_stimuli: int) -> int:
    """Fillers that a subject with the fewest old probes sees."""
    n_old = _fewest_old(design, n_stimuli)
    return n_old * (design.images_per_trial - 1) + (n_stimuli - n_old) * design.images_per_trial


def _fewest_old(design: TrialDesign, n_stimuli: int) -> int:
    old = np.array([condition.old for condition in design.conditions])
    running = np.arange(n_stimuli)
    return min(int(old[(running + subject) % len(old)].sum()) for subject in range(len(old)))


def choose_fillers(fillers: Sequence[str], stimuli: Sequence[str], design: TrialDesign, seed: int) -> list[str]:
    """Draw the images that fill the streams, the same for all subjects.

    Raises
    ------
    InputError
        If there are too few: no image is shown twice to a subject.
    """
    free = [name for name in fillers if name not in set(stimuli)]
    needed = n_fillers_needed(design, len(stimuli))
    if len(free) < needed:
        raise InputError(
            f"{counted(len(stimuli), 'trial')} of {counted(design.images_per_trial, 'image')} need "
            f"{counted(needed, 'filler')} beside the selected "
            f"images, so that none is shown twice, and there are {len(free)}: lower --images-per-trial or --per-cell"
        )
    return [free[i] for i in np.random.default_rng([seed, 1]).permutation(len(free))[:needed]]


def make_trials(stimuli: pd.DataFrame, fillers: Sequence[str], design: TrialDesign, seed: int = 0) -> pd.DataFrame:
    """Make the trials of all subjects.

    Parameters
    ----------
    stimuli
        The selected images by name, with ``cell`` and the columns of levels.
    fillers
        Images that fill the streams, as `choose_fillers` draws them.
    design
        Streams, durations, blocks, subjects.
    seed
        Of the order of everything.

    Returns
    -------
    DataFrame
        A row per subject and trial, in order: ``subject``, ``block`` and ``trial`` from 1, ``duration_ms``, ``probe``,
        ``probe_status`` (``old``, ``new``), ``position`` (of an old probe in its stream, from 1; 0 for a new one),
        ``cell``, levels, and ``image_1`` and so on: the stream.
    """
    order = np.random.default_rng([seed, 2]).permutation(len(stimuli))
    mixed = stimuli.iloc[order]
    mixed = mixed.iloc[np.argsort(mixed["cell"].to_numpy(str), kind="stable")]  # cell by cell, in random order within
    lists = [_subject(mixed, fillers, design, subject, seed) for subject in range(design.subjects)]
    return pd.concat(lists, ignore_index=True)


def _subject(
    stimuli: pd.DataFrame, fillers: Sequence[str], design: TrialDesign, subject: int, seed: int
) -> pd.DataFrame:
    rng = np.random.default_rng([seed, 3, subject])
    conditions = design.conditions
    condition = (np.arange(len(stimuli)) + subject) % len(conditions)
    block = _blocks(stimuli["cell"].to_numpy(str), condition, design.blocks, rng)
    order = np.lexsort((rng.random(len(stimuli)), block))
    streams = _Streams([str(fillers[i]) for i in rng.permutation(len(fillers))], design.images_per_trial)
    position = _positions(np.array([conditions[i].old for i in condition[order]]), design.images_per_trial, rng)
    levels = [name for name in stimuli.columns if name.startswith(LEVEL)]
    rows: list[dict[str, Any]] = []
    for trial, at in enumerate(order):
        probe, shown = str(stimuli.index[at]), conditions[condition[at]]
        row: dict[str, Any] = {"subject": subject + 1, "block": int(block[at]) + 1, "trial": trial + 1}
        row |= {"duration_ms": shown.duration_ms, "probe": probe, "probe_status": "old" if shown.old else "new"}
        row |= {"position": int(position[trial]), "cell": stimuli["cell"].iloc[at]}
        row |= {name: stimuli[name].iloc[at] for name in levels}
        rows.append(row | streams.next(probe, int(position[trial])))
    return pd.DataFrame(rows)


def _blocks(cell: np.ndarray, condition: np.ndarray, n_blocks: int, rng: np.random.Generator) -> np.ndarray:
    """Block of each image: cells and conditions are dealt out evenly."""
    dealt = np.lexsort((rng.random(len(cell)), condition, cell))
    block = np.empty(len(cell), int)
    block[dealt] = np.arange(len(cell)) % n_blocks
    return np.asarray(rng.permutation(n_blocks)[block])


def _positions(old: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Position of each old probe in its stream, each equally often; 0 for new ones."""
    position = np.zeros(len(old), int)
    position[old] = rng.permutation(np.arange(int(old.sum())) % n) + 1
    return position


class _Streams:
    """Takes fillers one after the other, none twice."""

    def __init__(self, fillers: list[str], length: int) -> None:
        self._left, self._length = iter(fillers), length

    def next(self, probe: str, position: int) -> dict[str, str]:
        """Images of the next stream; the probe stands at its position, from 1, or is not in it (0)."""
        places = range(1, self._length + 1)
        return {f"image_{i}": probe if i == position else next(self._left) for i in places}
