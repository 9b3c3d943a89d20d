"""Lists, sizes, times and near misses in words."""

from distspc.messages import did_you_mean, format_duration, format_nbytes, shorten, unknown_key


def test_the_first_names_and_how_many_more():
    assert shorten(["a"]) == "a"
    assert shorten(range(5)) == "0, 1, 2, 3, 4"
    assert shorten(range(7)) == "0, 1, 2, 3, 4 and 2 more"
    assert shorten("abc", most=2) == "a, b and 1 more"
    assert shorten([]) == ""


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
