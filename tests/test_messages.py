"""Lists, counts, sizes, times and near misses in words."""

import pytest

from distspc.messages import counted, did_you_mean, format_duration, format_nbytes, shorten, unknown_key


def test_the_first_names_and_how_many_more():
    assert shorten(["a"]) == "a"
    assert shorten(range(5)) == "0, 1, 2, 3, 4"
    assert shorten(range(7)) == "0, 1, 2, 3, 4 and 2 more"
    assert shorten("abc", most=2) == "a, b and 1 more"
    assert shorten([]) == ""


@pytest.mark.parametrize(
    ("n", "noun", "verb", "of", "said"),
    [
        (1, "task", "", None, "1 task"),
        (0, "task", "", None, "0 tasks"),
        (10_264, "image", "", None, "10,264 images"),
        (2, "batch", "", None, "2 batches"),
        (2, "forward pass", "", None, "2 forward passes"),
        (2, "entry of column memorability", "is", None, "2 entries of column memorability are"),
        (2, "day", "", None, "2 days"),
        (1, "row of scores", "names no target", None, "1 row of scores names no target"),
        (2, "row of scores", "names no target", None, "2 rows of scores name no target"),
        (3, "image with responses", "has", None, "3 images with responses have"),
        (2, "target in the study", "was", None, "2 targets in the study were"),
        (1, "trial", "does", None, "1 trial does"),
        (2, "trial", "does", None, "2 trials do"),
        (1, "image", "is", 1, "1 of 1 image is"),
        (1, "image", "is", 31, "1 of 31 images is"),
        (2, "image", "is", 31, "2 of 31 images are"),
    ],
)
def test_a_number_agrees_with_its_noun_and_verb(n, noun, verb, of, said):
    assert counted(n, noun, verb, of=of) == said


def test_sizes_in_words():
    assert [format_nbytes(n) for n in (5, 2048, 3 * 2**20, 2**31)] == ["5 B", "2.0 KiB", "3.0 MiB", "2.0 GiB"]


def test_times_in_words():
    assert [format_duration(s) for s in (12.4, 59.6, 192, 7500)] == ["12 s", "1 min 0 s", "3 min 12 s", "2 h 5 min"]


def test_an_unknown_key_says_which_may_be_meant():
    said = unknown_key("distspc.worker", ["workers", "kind"])
    assert said == "distspc.worker: unknown key; did you mean 'workers'? allowed are workers, kind"
    assert "did you mean" not in unknown_key("x", ["workers"])


def test_the_nearest_name_may_be_meant():
    assert did_you_mean("slrum", ["pbs", "slurm"]) == "did you mean 'slurm'? "
    assert did_you_mean("x", {"slurm": 1}) == ""
