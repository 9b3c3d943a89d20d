import numpy as np
import pandas as pd
import pytest
from scipy import stats

from distspc.errors import InputError
from distspc.selection.power import (
    Assumptions,
    Factorial,
    draw_answers,
    estimate,
    factorial_of,
    levels_of,
    quasi_f_tests,
    simulated_power,
)
from tests.selection.shared import BY

DESIGN = Factorial(("a", "b"), 2, 24)


def test_contrasts_are_orthonormal_and_span_all_but_the_mean():
    design = Factorial(("a", "b"), 3, 4)
    rows = np.concatenate([design.contrasts(effect) for effect in design.effects])
    assert rows.shape == (8, 9)
    np.testing.assert_allclose(rows @ rows.T, np.eye(8), atol=1e-12)
    np.testing.assert_allclose(rows.sum(axis=1), 0, atol=1e-12)


def test_an_effect_is_the_difference_between_the_ends_of_a_factor():
    assert DESIGN.codes((0,)).tolist() == [-0.5, -0.5, 0.5, 0.5]
    assert DESIGN.codes((0, 1)).tolist() == [0.5, -0.5, -0.5, 0.5]
    assert DESIGN.name((0, 1)) == "a x b"


def test_mean_squares_are_those_of_the_textbook():
    """With one factor of two levels the ratio is built from sums of squares that are written out here."""
    design, rng = Factorial(("a",), 2, 5), np.random.default_rng(0)
    y = rng.random((7, 2, 5)) < 0.6
    grand, cell, subject = y.mean(), y.mean(axis=(0, 2)), y.mean(axis=(1, 2))
    by_cell, image = y.mean(axis=2), y.mean(axis=0)
    ms_effect = 7 * 5 * ((cell - grand) ** 2).sum()
    ms_subjects = 5 * ((by_cell - subject[:, None] - cell + grand) ** 2).sum() / 6
    ms_images = 7 * ((image - cell[:, None]) ** 2).sum() / 8
    rest = y - by_cell[:, :, None] - image + cell[:, None]
    ms_rest = (rest**2).sum() / (6 * 8)
    above, below = ms_effect + ms_rest, ms_subjects + ms_images
    df = above**2 / (ms_effect**2 + ms_rest**2 / 48), below**2 / (ms_subjects**2 / 6 + ms_images**2 / 8)
    np.testing.assert_allclose(quasi_f_tests(design, y), stats.f.sf(above / below, *df))


def test_type_1_error_is_near_its_level_and_not_above():
    table = simulated_power(DESIGN, Assumptions(), subjects=(20,), n_simulations=600, seed=1)
    assert len(table) == 3
    assert table["power"].max() < 0.075
    assert table["power"].mean() > 0.015


def test_ignoring_images_would_reject_far_too_often():
    rng, n = np.random.default_rng(2), 200
    rejected = 0
    for _ in range(n):
        by_cell = draw_answers(DESIGN, Assumptions(image_sd=1.0), 40, rng).mean(axis=2)
        rejected += stats.ttest_1samp(by_cell @ DESIGN.contrasts((0,))[0], 0).pvalue < 0.05
    assert rejected / n > 0.2, "what the quasi-F ratio is for"


def test_power_grows_with_the_effect_and_with_subjects():
    table = simulated_power(DESIGN, Assumptions({"a": 0.8, "b": 0.2}), subjects=(6, 40), n_simulations=150)
    power = table.set_index(["effect", "subjects"])["power"]
    assert power["a", 40] > power["a", 6]
    assert power["a", 40] > power["b", 40]
    assert power["a", 40] > 0.7
    assert ((table["ci_low"] <= table["power"]) & (table["power"] <= table["ci_high"])).all()


def test_a_client_gives_the_same_numbers():
    from distributed import Client

    settings = {"subjects": (8,), "n_simulations": 60, "seed": 4}
    alone = simulated_power(DESIGN, Assumptions({"a": 0.5}), **settings)
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
        shared = simulated_power(DESIGN, Assumptions({"a": 0.5}), client=client, **settings)
    pd.testing.assert_frame_equal(alone, shared)


def drawn_trials(seed=0) -> tuple[pd.DataFrame, pd.DataFrame]:
    answers = draw_answers(DESIGN, Assumptions({"a": 1.0}), 30, np.random.default_rng(seed))
    subject, cell, image = np.indices(answers.shape)
    names = [f"{c}_{i}" for c, i in zip(cell.ravel(), image.ravel(), strict=True)]
    trials = pd.DataFrame({"subject": subject.ravel(), "image": names, "correct": answers.ravel().astype(int)})
    levels = pd.DataFrame({"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]}).loc[np.repeat(range(4), 24)]
    levels.index = pd.Index([f"{c}_{i}" for c in range(4) for i in range(24)])
    return trials, levels


def test_effects_and_deviations_are_estimated_from_trials():
    trials, levels = drawn_trials()
    found = estimate(trials, DESIGN, levels)
    assert found.effects["a"] == pytest.approx(1.0, abs=0.4)
    assert found.effects["b"] == pytest.approx(0.0, abs=0.4)
    assert 0.3 < found.subject_sd < 0.8
    assert 0.4 < found.image_sd < 1.0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.drop(columns="correct"), "trial data has no column correct"),
        (lambda t: t.assign(image="other"), "no image of it has the factors"),
        (lambda t: t.assign(correct=2), "expected 0 and 1"),
    ],
)
def test_trials_that_tell_nothing_are_refused(change, named):
    trials, levels = drawn_trials()
    with pytest.raises(InputError, match=named):
        estimate(change(trials), DESIGN, levels)


def test_unknown_effects_and_empty_designs_are_refused():
    with pytest.raises(InputError, match="no effect 'aa'; did you mean 'a'"):
        simulated_power(DESIGN, Assumptions({"aa": 1.0}))
    with pytest.raises(InputError, match="at least 2 subjects"):
        simulated_power(DESIGN, Assumptions(), subjects=(1,))
    with pytest.raises(InputError, match="--rate"):
        Assumptions(rate=1.0)
    with pytest.raises(InputError, match="standard deviations"):
        Assumptions(image_sd=-1)


def test_design_and_levels_of_a_selection(selection):
    assert factorial_of(selection) == Factorial(BY, 2, 6)
    levels = levels_of(selection)
    large = selection.candidates.table[BY[0]] > selection.candidates.table[BY[0]].median()
    assert levels[BY[0]].tolist() == large.astype(int).tolist()
