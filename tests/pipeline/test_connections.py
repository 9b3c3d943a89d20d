"""Where the stages of a study run: on the caller's client, on profiles, or in this process."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.pipeline.connections import Clusters, ImportsAhead
from distspc.pipeline.run import Study
from distspc.pipeline.stages.registry import STAGES
from distspc.testing.stores import relu_activations


@pytest.fixture
def content(tmp_path):
    values = relu_activations(20, 30)
    for name, rows in (("Targets", values[:8]), ("Fillers", values[8:])):
        (tmp_path / "A/fc2" / name).mkdir(parents=True)
        for number, row in enumerate(rows, start=1):
            np.save(tmp_path / "A/fc2" / name / f"{number}.npy", row[None])
    return {"store": str(tmp_path / "s.zarr"), "activations": str(tmp_path / "A"), "layers": ["fc2"]}


@pytest.fixture
def opened(monkeypatch):
    """The names of profiles that were opened, with their stages."""
    from distspc.deployment import session

    names, deploy = [], session.deploy

    def counted(profile, **options):
        names.append((profile, options.get("name", "").rpartition("-")[2]))
        return deploy(profile, **options)

    monkeypatch.setattr(session, "deploy", counted)
    return names


def test_without_client_and_profiles_all_is_computed_in_this_process(content, opened):
    Study.from_dict(content).run(stages=["extract", "distances"])
    assert opened == []


def test_profiles_of_the_study_are_honoured_from_python_too(content, opened, capsys):
    study = Study.from_dict({**content, "profiles": {"distances": "local"}})
    study.run(stages=["extract", "distances"], overrides=["distspc.workers=1"])
    # Overrides say that a cluster is wanted: the other stages run on the local one then.
    assert opened == [("local", "extract")]
    assert "dashboard" not in capsys.readouterr().err


def test_a_stage_without_a_profile_stays_in_this_process(content, opened, tmp_path):
    profile = tmp_path / "one.yaml"
    profile.write_text("distspc:\n  kind: local\n  workers: 1\n  cores-per-worker: 1\n  memory-per-worker: 1 GiB\n")
    study = Study.from_dict({**content, "profiles": {"distances": str(profile)}})
    results = study.run(stages=["extract", "distances"])
    assert opened == [(str(profile), "distances")]
    assert np.isfinite(results["distances"]["mean_distance"].to_numpy()).all()


def test_a_client_of_the_caller_wins_over_profiles(content, opened, tmp_path):
    from distspc.deployment.session import deploy

    study = Study.from_dict({**content, "profiles": {"extract": "nowhere", "distances": "nowhere"}})
    with deploy("local", overrides=("distspc.workers=1",)) as client:
        study.run(client, stages=["extract", "distances"])
    assert opened == [("local", "")]
    assert all(row.complete for row in study.status() if row.stage in ("extract", "distances"))


def test_clusters_tell_when_one_is_opened_and_change_with_the_profile(content, monkeypatch):
    from contextlib import contextmanager

    from distspc.deployment import session

    events = []

    @contextmanager
    def deploy(profile, **options):
        events.append(("open", profile))
        yield profile
        events.append(("close", profile))

    monkeypatch.setattr(session, "deploy", deploy)
    monkeypatch.setattr(Clusters, "_check_workers", lambda *_: None)  # there are no such profiles
    study = Study.from_dict({**content, "profiles": {"extract": "a", "reconstruct": "b"}})
    with Clusters(study, None, (), name="x", default=None, opened=lambda c: events.append(("told", c))) as clusters:
        assert [clusters(stage) for stage in ("extract", "extract", "distances", "reconstruct")] == [
            "a",
            "a",
            None,
            "b",
        ]
    assert events == [("open", "a"), ("told", "a"), ("close", "a"), ("open", "b"), ("told", "b"), ("close", "b")]


def test_workers_that_would_be_too_small_are_not_started(content, opened, tmp_path):
    profile = tmp_path / "small.yaml"
    profile.write_text("distspc:\n  kind: local\n  workers: 1\n  cores-per-worker: 1\n  memory-per-worker: 300 MiB\n")
    study = Study.from_dict(content)
    message = r"fc2: the smallest distance task needs .* may use 180.0 MiB; .*memory-per-worker"
    with Clusters(study, str(profile), (), name="x") as clusters, pytest.raises(InputError, match=message):
        clusters("extract")
    assert opened == []


def test_modules_are_imported_while_workers_compute_once_there_are_any(tmp_path, monkeypatch):
    for name in ("ahead_one", "ahead_two"):
        (tmp_path / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    ahead = ImportsAhead(["ahead_one", "not_there", "ahead_two"])
    clients = iter([None, "client", "client"])
    connect = ahead.once_connected(lambda _: next(clients))
    assert connect("extract") is None
    ahead.wait()
    assert "ahead_one" not in sys.modules  # in this process nothing goes on beside the imports
    try:
        assert [connect("extract"), connect("distances")] == ["client", "client"]
        ahead.wait()
        assert {"ahead_one", "ahead_two"} <= set(sys.modules)
    finally:
        for name in ("ahead_one", "ahead_two"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize("name", STAGES)
def test_what_stages_import_late_is_there(name):
    assert all(find_spec(module) for module in STAGES[name].imports)


def test_a_gpu_is_known_by_the_profile_of_the_stage_or_by_this_machine(content, monkeypatch):
    study = Study.from_dict({**content, "profiles": {"extract": "slurm-gpu"}})
    here = Clusters(study, None, (), name="s", default=None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [here.has_gpu("extract"), here.has_gpu("distances")] == [True, False]
    assert not Clusters(study, "slurm-cpu", (), name="s").has_gpu("extract")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert here.has_gpu("distances")
