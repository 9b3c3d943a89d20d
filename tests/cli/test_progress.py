"""Progress: plain lines where standard error is no terminal."""

from distspc.cli.progress import progress_bars


def test_a_line_at_the_start_and_one_at_the_end(capsys):
    with progress_bars() as note:
        for n_done in range(4):
            note("distances", n_done, 3)
        note("report", 0, 1)
    assert capsys.readouterr().err.splitlines() == ["distances: 3 tasks", "distances: done", "report: 1 tasks"]
