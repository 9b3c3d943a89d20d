"""Progress: lines with rate and time left where standard error is no terminal; bars in one; nothing if quiet."""

import threading

import pytest

from distspc.cli.dialogue import speech
from distspc.cli.dialogue.progress import Lines, Pace, lines, progress_bars


@pytest.fixture(autouse=True)
def spoken():
    """Speech as it is at the start of a command."""
    speech.begin()
    yield
    speech.begin()


def test_a_line_at_the_start_and_one_at_the_end(capsys):
    with progress_bars() as note:
        for n_done in range(4):
            note("distances", n_done, 3)
        note("report", 0, 1)
    first, last, other = capsys.readouterr().err.splitlines()
    assert (first, other) == ("distances: 3 tasks", "report: 1 task")
    assert last.startswith("distances: done in ")


def test_a_tick_says_rate_and_time_left_of_what_is_not_done():
    said, now = [], [0.0]
    report = Lines(said.append, clock=lambda: now[0])
    report("extract", 0, 10)
    report("report", 0, 1)
    report("report", 1, 1)
    now[0] = 60.0
    report("extract", 0, 10)
    report.tick()
    report("extract", 4, 10)
    now[0] = 120.0
    report.tick()
    report("extract", 10, 10)
    report.tick()
    assert said == [
        "extract: 10 tasks",
        "report: 1 task",
        "report: done in 0 s",
        "extract: 0 of 10 tasks",
        "extract: 4 of 10 tasks, 2.0 tasks/min, about 3 min 0 s left",
        "extract: done in 2 min 0 s",
    ]


def test_lines_come_also_while_a_task_takes_long():
    said, enough = [], threading.Event()

    def write(text):
        said.append(text)
        if len(said) == 4:
            enough.set()

    with lines(write, every_s=0.001) as report:
        report("distances", 0, 2)
        assert enough.wait(60)
    assert said[1:4] == ["distances: 0 of 2 tasks"] * 3


@pytest.mark.parametrize(
    ("n_done", "after_s", "rate", "left_s"),
    [
        (0, 60.0, "", None),
        (120, 60.0, "2.0 tasks/s", 440.0),
        (1, 60.0, "1.0 tasks/min", 59_940.0),
        (1, 7200.0, "0.5 tasks/h", 999 * 7200.0),
    ],
)
def test_rate_has_a_unit_in_which_it_can_be_read(n_done, after_s, rate, left_s):
    pace = Pace(1000, 0.0, n_done)
    assert pace.rate(after_s) == rate
    assert pace.left_s(after_s) == left_s


def test_quiet_says_nothing_and_the_log_file_all(tmp_path, capsys):
    speech.begin(quiet=True, log_file=tmp_path / "run.log")
    with progress_bars() as note:
        note("distances", 0, 1)
        note("distances", 1, 1)
    assert capsys.readouterr() == ("", "")
    speech.begin()
    written = (tmp_path / "run.log").read_text()
    assert "INFO distances: 1 task" in written
    assert "INFO distances: done in" in written


def test_bars_show_rate_and_time_left(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress_bars() as note:
        note("distances [a]", 0, 4)
        note("distances [a]", 2, 4)
    err = capsys.readouterr().err
    assert "distances [a]" in err
    assert "tasks/s" in err
    assert "left" in err
