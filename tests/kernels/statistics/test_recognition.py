"""Rates and d' against values by hand, split halves against slow loops and simulated subjects of known reliability."""

import doctest

import numpy as np
import pytest
from scipy import stats

from distspc.kernels.statistics import recognition as kernel
from distspc.kernels.statistics.recognition import Counts, Trials, recognition_scores, split_half


def counts(*columns):
    return Counts(*(np.atleast_1d(np.asarray(column, dtype=float)) for column in columns))


@pytest.mark.parametrize(
    ("hits", "n_old", "false_alarms", "n_new", "dprime"),
    [
        (9, 10, 2, 10, 1.8446),  # z(9.5 / 11) - z(2.5 / 11) = 1.0968 + 0.7479
        (10, 10, 0, 10, 3.3812),  # z(10.5 / 11) - z(0.5 / 11): never infinite
        (0, 1, 0, 3, 0.4759),  # z(0.5 / 2) - z(0.5 / 4) = -0.6745 + 1.1503
        (5, 10, 5, 10, 0.0),
    ],
)
def test_dprime_is_that_by_hand(hits, n_old, false_alarms, n_new, dprime):
    found = recognition_scores(counts(hits, n_old, false_alarms, n_new))
    assert found["dprime"][0] == pytest.approx(dprime, abs=2e-4)
    expected = stats.norm.ppf((hits + 0.5) / (n_old + 1)) - stats.norm.ppf((false_alarms + 0.5) / (n_new + 1))
    assert found["dprime"][0] == pytest.approx(expected, abs=1e-12)
    assert found["corrected_hit"][0] == pytest.approx(hits / n_old - false_alarms / n_new)


def test_a_score_without_the_responses_that_it_needs_is_missing():
    found = recognition_scores(counts([3, 0], [4, 0], [0, 1], [0, 4]))
    np.testing.assert_array_equal(found["hit"], [0.75, np.nan])
    np.testing.assert_array_equal(found["fa"], [np.nan, 0.25])
    assert np.isnan(found["corrected_hit"]).all()
    assert np.isnan(found["dprime"]).all()


def simulated(n_subjects, n_images, hit=(6, 4), fa=(2, 8), seed=0):
    """Every subject responds to every image, old and new, with probabilities of the image alone (two Betas)."""
    rng = np.random.default_rng(seed)
    chances = np.stack([rng.beta(*fa, n_images), rng.beta(*hit, n_images)])
    old, subject, image = (a.ravel() for a in np.indices((2, n_subjects, n_images)))
    return Trials(subject, image, old, (rng.random(old.size) < chances[old, image]).astype(int))


@pytest.mark.parametrize(("n_subjects", "reliability"), [(40, 0.8), (11, 11 / 21)])
def test_simulated_subjects_of_known_reliability_recover_it(n_subjects, reliability):
    # Of n responses with chances from Beta(a, b), Var(p) = m (1 - m) / (a + b + 1) is between images and
    # E[p (1 - p)] / n = Var(p) (a + b) / n is noise: the reliability is n / (n + a + b); here a + b = 10 for hits and
    # false alarms alike, so that of their difference is the same.
    found = split_half(simulated(n_subjects, 1500), 1500, n_halves=200, n_bootstrap=300)
    for name in ("hit", "fa", "corrected_hit"):
        assert found[name].reliability == pytest.approx(reliability, abs=0.035), name
        assert found[name].ci_low < found[name].reliability < found[name].ci_high
        assert found[name].ci_high - found[name].ci_low < 0.1
        assert found[name].n_images == 1500
    assert found["hit"].half_r == pytest.approx((n_subjects / 2) / (n_subjects / 2 + 10), abs=0.04)
    assert found["dprime"].reliability > reliability - 0.1


def test_the_interval_holds_the_reliability_as_often_as_it_says():
    held = []
    for seed in range(60):
        found = split_half(simulated(20, 80, seed=seed), 80, n_halves=60, n_bootstrap=200)["hit"]
        held.append(found.ci_low < 20 / 30 < found.ci_high)
    assert np.mean(held) > 0.85


def test_images_that_do_not_differ_have_no_reliability_to_speak_of():
    found = split_half(simulated(20, 300, hit=(6e6, 4e6)), 300, n_halves=100, n_bootstrap=100)["hit"]
    assert abs(found.reliability) < 0.25
    assert found.ci_low < 0 < found.ci_high


def slow_halves(trials, n_images, halves):
    """Literal: count, score and correlate for one half after the other."""
    r = {name: [] for name in kernel.RATES}
    for half in halves.T:
        sides = []
        for members in (half, ~half):
            rows = members[trials.subject]
            table = np.zeros((4, n_images))
            for image, old, response in zip(*(column[rows] for column in trials[1:]), strict=True):
                table[1 if old else 3, image] += 1
                table[0 if old else 2, image] += response
            sides.append(recognition_scores(Counts(*table)))
        for name in kernel.RATES:
            both = np.isfinite(sides[0][name]) & np.isfinite(sides[1][name])
            r[name].append(np.corrcoef(sides[0][name][both], sides[1][name][both])[0, 1])
    return {name: np.mean(values) for name, values in r.items()}


def test_halves_are_those_of_a_plain_loop_also_where_subjects_saw_other_images():
    whole = simulated(9, 25, seed=3)
    kept = np.random.default_rng(1).random(len(whole.image)) < 0.6
    trials = Trials(*(column[kept] for column in whole))
    halves = kernel._random_halves(9, 12, 0)
    assert (halves.sum(axis=0) == 4).all()
    assert len(np.unique(halves, axis=1).T) > 6
    found = split_half(trials, 25, n_halves=12, n_bootstrap=20, random_state=0)
    expected = slow_halves(trials, 25, halves)
    for name in kernel.RATES:
        assert found[name].half_r == pytest.approx(expected[name], abs=1e-12)
        assert found[name].reliability == pytest.approx(2 * expected[name] / (1 + expected[name]))


def test_a_resample_whose_scores_are_the_same_but_for_rounding_has_no_correlation():
    """All images but the first have one rate: resamples without it leave a variance of rounding alone."""
    for n in range(4, 40):
        x = np.full((n, 3), [1 / 3, 0.7, 1 / 7])
        x[0] += 0.25
        y = np.random.default_rng(n).random((n, 3))
        counts = np.concatenate([np.zeros((1, 1)), np.full((1, n - 1), n / (n - 1))], axis=1)
        for pair in ((x, y), (y, x)):
            known = kernel._known(*pair)
            assert np.isfinite(kernel._weighted(*known, np.ones((1, n)))).all()
            assert np.isnan(kernel._weighted(*known, counts)).all()


def test_results_do_not_depend_on_the_size_of_blocks():
    trials = simulated(8, 30)
    whole = split_half(trials, 30, n_halves=150, n_bootstrap=20)
    pieces = split_half(trials, 30, n_halves=150, n_bootstrap=20, block_nbytes=8 * 30 * 7)
    for name in kernel.RATES:
        np.testing.assert_allclose(
            [whole[name].reliability, whole[name].ci_low], [pieces[name].reliability, pieces[name].ci_low], atol=1e-12
        )


def test_what_has_no_halves():
    trials = simulated(1, 10)
    with pytest.raises(ValueError, match="at least 2 subjects; there are 1"):
        split_half(trials, 10)
    always = simulated(6, 12)._replace(response=np.ones(144, dtype=int))
    found = split_half(always, 12, n_halves=10, n_bootstrap=10)
    assert np.isnan(found["hit"].reliability)
    assert np.isnan(found["dprime"].ci_low)


def test_examples_in_docstrings():
    assert doctest.testmod(kernel).failed == 0
