"""Trial lists as files: condition files of PsychoPy (CSV) and timelines of jsPsych (JSON), one of each per subject."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from distspc.io.files import written_whole

_IMAGE, _TEXT, _PRELOAD = "jsPsychImageKeyboardResponse", "jsPsychHtmlKeyboardResponse", "jsPsychPreload"
KEYS = {"old": "o", "new": "n"}
"""Keys of the two answers."""


def write_trials(trials: pd.DataFrame, paths: Mapping[str, str], directory: Path) -> list[Path]:
    """Write the files of all subjects into ``psychopy/`` and ``jspsych/``.

    Parameters
    ----------
    trials
        As `make_trials` gives it.
    paths
        Path of every image, by name, from where the experiment is run: the folder of the selection.
    directory
        Where the two folders go.
    """
    written = []
    width = max(2, len(str(trials["subject"].max())))
    for subject, rows in trials.groupby("subject"):
        name = f"subject_{subject:0{width}d}"
        written += [directory / "psychopy" / f"{name}.csv", directory / "jspsych" / f"{name}.json"]
        with written_whole(written[-2]) as beside:
            psychopy_conditions(rows, paths).to_csv(beside, index=False)
        with written_whole(written[-1]) as beside:
            beside.write_text(json.dumps(jspsych_timeline(rows, paths), indent=1), encoding="utf-8")
    return written


def _streams(trials: pd.DataFrame) -> list[str]:
    return [name for name in trials.columns if name.startswith("image_")]


def psychopy_conditions(trials: pd.DataFrame, paths: Mapping[str, str]) -> pd.DataFrame:
    """Return the condition file of a subject: a row per trial, paths of images, and the correct answer and key."""
    table = trials.copy()
    for name in _streams(trials):
        table[name] = trials[name].map(paths)
    table["probe_file"] = trials["probe"].map(paths)
    table["correct_key"] = trials["probe_status"].map(KEYS)
    table.columns = pd.Index([name.replace(":", "_").replace(" ", "_") for name in table.columns])  # names of variables
    return table


def jspsych_timeline(trials: pd.DataFrame, paths: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the timeline of a subject, for ``jsPsych.run``.

    A plugin is named by the variable that its script defines: set ``node.type = window[node.type]`` before the run.
    """
    images = sorted({paths[name] for column in [*_streams(trials), "probe"] for name in trials[column]})
    timeline: list[dict[str, Any]] = [{"type": _PRELOAD, "images": images}]
    n_blocks = trials["block"].nunique()
    for block, rows in trials.groupby("block", sort=False):
        text = f"<p>Block {block} of {n_blocks}</p><p>Press a key to start.</p>"
        timeline.append({"type": _TEXT, "stimulus": text})
        timeline += [_trial(row, _streams(trials), paths) for row in rows.to_dict("records")]
    return timeline


def _trial(row: Mapping[Any, Any], streams: list[str], paths: Mapping[str, str]) -> dict[str, Any]:
    shown = [{"stimulus": paths[row[name]]} for name in streams]
    stream = {"type": _IMAGE, "choices": "NO_KEYS", "trial_duration": row["duration_ms"], "timeline": shown}
    data = {name: value for name, value in row.items() if name not in streams}
    data["correct_key"] = KEYS[row["probe_status"]]
    probe = {"type": _IMAGE, "stimulus": paths[row["probe"]], "choices": list(KEYS.values()), "data": data}
    return {"timeline": [stream, probe]}
