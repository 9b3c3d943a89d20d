"""A third of the workers killed while distances and reconstruction run side by side."""

import time

import pytest

pytestmark = pytest.mark.faults
N_WORKERS, N_SEEDS = 3, 4
RESULTS = ("distances/distance/c", "reconstruction/error/c")


@pytest.fixture
def longer(tmp_path, sources, study_type):
    """A study whose fits are many and take long enough to be hit, in two copies."""
    studies = []
    for name in ("undisturbed", "disturbed"):
        (tmp_path / name).mkdir()
        study = study_type.new(tmp_path / name, sources)
        text = study.file.read_text().replace("batches: 30", "batches: 120")
        study.file.write_text(text.replace("seeds: [0, 1]", f"seeds: {list(range(N_SEEDS))}"))
        studies.append(study)
    return studies


def stored(study):
    """Chunks of results that are there, and when they were written."""
    files = (path for group in RESULTS for path in (study.store / group).rglob("*") if path.is_file())
    return {path: path.stat().st_mtime_ns for path in files if not path.name.endswith(".partial")}


def test_a_third_of_the_workers_lost_changes_no_number_and_repeats_nothing_stored(longer):
    undisturbed, study = longer
    assert undisturbed.run().code == 0
    process = study.start("run", study.file, "--set", f"workers={N_WORKERS}", "--set", "cores-per-worker=1")
    deadline = time.monotonic() + 120
    while not (before := stored(study)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no result has come"
        time.sleep(0.01)
    workers = study.workers_of(process)
    assert len(workers) == N_WORKERS, [one.cmdline() for one in workers]
    for one in workers[: N_WORKERS // 3]:
        one.kill()
    n_wanted = 2 + 2 * N_SEEDS
    assert len(before) < n_wanted, "everything was done before the kill"
    ended = study.end(process)
    assert ended.code == 0, ended.err
    after = stored(study)
    assert len(after) == n_wanted
    assert {path: after[path] for path in before} == before
    assert study.digests() == undisturbed.digests()
    assert study.left_over() == []
