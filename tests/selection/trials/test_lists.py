from collections import Counter

import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.selection.trials.lists import TrialDesign, choose_fillers, make_trials, n_fillers_needed, trial_notices

DESIGN = TrialDesign(images_per_trial=6, durations=(34, 84, 167), blocks=12, subjects=12)


def stimuli(per_cell: int = 12) -> pd.DataFrame:
    cells = [cell for cell in ("small-small", "small-large", "large-small", "large-large") for _ in range(per_cell)]
    names = pd.Index([f"s{i}" for i in range(len(cells))], name="image")
    return pd.DataFrame({"cell": cells, "level:a": [cell.split("-")[0] for cell in cells]}, index=names)


def trials(design=DESIGN, per_cell=12, seed=0):
    table = stimuli(per_cell)
    fillers = choose_fillers([f"f{i}" for i in range(2000)], list(table.index), design, seed)
    return make_trials(table, fillers, design, seed)


def streams(table):
    return [name for name in table.columns if name.startswith("image_")]


def test_over_subjects_every_image_has_every_duration_equally_often_as_old_and_as_new_probe():
    table = trials()
    counts = Counter(zip(table["probe"], table["duration_ms"], table["probe_status"], strict=True))
    assert len(counts) == 48 * 3 * 2
    assert set(counts.values()) == {12 // 6}


def test_within_a_subject_every_cell_has_every_condition_equally_often():
    table = trials()
    counts = table.groupby(["subject", "cell", "duration_ms", "probe_status"]).size()
    assert len(counts) == 12 * 4 * 6
    assert set(counts) == {2}


def test_no_image_is_shown_twice_to_a_subject_but_an_old_probe_after_its_stream():
    for _, rows in trials().groupby("subject"):
        shown = Counter(rows[streams(rows)].to_numpy().ravel())
        assert set(shown.values()) == {1}
        new = rows.loc[rows["probe_status"] == "new", "probe"]
        assert not set(new) & set(shown)
        assert sorted(rows["probe"]) == sorted(stimuli().index)


def test_an_old_probe_is_in_its_stream_where_it_is_said_to_be_and_everywhere_equally_often():
    table = trials()
    for row in table.to_dict("records"):
        stream = [row[name] for name in streams(table)]
        assert (row["probe"] in stream) == (row["probe_status"] == "old")
        if row["position"]:
            assert stream[row["position"] - 1] == row["probe"]
    old = table[(table["probe_status"] == "old") & (table["subject"] == 1)]
    assert set(Counter(old["position"]).values()) == {24 // 6}


def test_blocks_hold_the_same_number_of_trials():
    counts = trials().groupby(["subject", "block"]).size()
    assert set(counts) == {4}
    assert counts.index.get_level_values("block").max() == 12


def test_counts_differ_by_one_where_subjects_are_no_multiple_of_the_conditions():
    design = TrialDesign(subjects=50)
    table = trials(design)
    counts = table.groupby(["probe", "duration_ms", "probe_status"]).size()
    assert set(counts) == {8, 9}
    (notice,) = trial_notices(design, 48)
    assert "with 48 or 54 subjects it would be equal" in notice
    assert trial_notices(DESIGN, 48) == []


def test_cells_that_no_condition_divides_differ_by_one_at_most():
    counts = trials(per_cell=10).groupby(["subject", "cell", "duration_ms", "probe_status"]).size()
    assert set(counts) == {1, 2}


def test_orders_differ_by_subject_and_seed_and_repeat_with_the_seed():
    first, again, other = trials(), trials(), trials(seed=1)
    pd.testing.assert_frame_equal(first, again)
    assert first["probe"].tolist() != other["probe"].tolist()
    assert first.loc[first["subject"] == 1, "probe"].tolist() != first.loc[first["subject"] == 2, "probe"].tolist()


def test_too_few_fillers_are_counted():
    needed = n_fillers_needed(DESIGN, 48)
    assert needed == 24 * 5 + 24 * 6
    with pytest.raises(InputError, match=f"need {needed} fillers .* there are 10: lower --images-per-trial"):
        choose_fillers([f"f{i}" for i in range(10)], list(stimuli().index), DESIGN, 0)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"images_per_trial": 0}, "--images-per-trial: expected at least 1, got 0"),
        ({"blocks": 0}, "--blocks"),
        ({"subjects": 0}, "--subjects"),
        ({"durations": ()}, "--durations: .* got none"),
        ({"durations": (34, 34)}, "--durations: expected different numbers of ms above 0, got 34, 34"),
    ],
)
def test_designs_without_trials_are_refused(settings, named):
    with pytest.raises(InputError, match=named):
        TrialDesign(**settings)
