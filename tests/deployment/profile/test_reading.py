"""Profiles found, read, overridden and refused with key, value and way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from distspc.deployment.profile.reading import list_profiles, load_profile
from distspc.deployment.profile.shape import worker_shape
from distspc.errors import InputError

SHIPPED = ("local", "local-gpu", "lsf", "pbs", "sge", "slurm-cpu", "slurm-gpu", "slurm-runner", "testbed")


def test_shipped_profiles_are_listed_with_what_they_are_for():
    listed = list_profiles()
    assert tuple(listed) == SHIPPED
    assert all(len(text) > 20 for text in listed.values())


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_loads_and_every_key_has_a_comment(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.tls == (not name.startswith("local"))
    path = Path(__file__).parents[3] / "cluster" / f"{name}.yaml"
    uncommented = [
        line
        for line in path.read_text().splitlines()[1:]
        if not line.rstrip().endswith(":") and line and "#" not in line
    ]
    assert [line.strip() for line in uncommented] in ([], ["spill: false"])


def test_overrides_reach_each_section():
    profile = load_profile(
        "slurm-cpu",
        ["workers=9", "timeouts.start=5", "walltime=10:00:00", "queue=long", "distributed.comm.timeouts.connect=9s"],
    )
    assert worker_shape(profile).n_workers == 9
    assert profile.settings.timeouts.start == 5
    assert profile.job.walltime.text == "10:00:00"
    assert profile.config["jobqueue"]["slurm"]["queue"] == "long"
    assert profile.config["distributed"]["comm"]["timeouts"]["connect"] == "9s"
    assert load_profile(profile, ["workers=3"]).job == profile.job


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("local", "worker=2", r"distspc\.worker: unknown key; did you mean 'workers'\?"),
        ("local", "workers=0", r"distspc\.workers: invalid value 0"),
        ("local", "workers=two", r"distspc\.workers: invalid value 'two'"),
        ("local", "kind=cloud", r"distspc\.kind: invalid value 'cloud'.*'slurm'"),
        ("local", "memory-per-worker=8GB", r"invalid value '8GB': .*GiB"),
        ("local", "memory-per-worker=0.1 GiB", "between 0.25 GiB and 64 TiB"),
        ("local", "nonsense", "cannot read the override 'nonsense'; write key=value"),
        ("slurm-cpu", "memory=16", r"jobqueue\.slurm\.memory: invalid value 16: .*GiB"),
        ("slurm-cpu", "cores=0", r"jobqueue\.slurm\.cores: invalid value 0"),
        ("slurm-cpu", "jobqueue.slurm.processes=4", "expected 1, always: for more, raise `workers`"),
        ("slurm-cpu", "walltime=01:30", r"jobqueue\.slurm\.walltime: invalid value '01:30'"),
        ("slurm-cpu", "job-mem=1G", r"invalid value '1G': expected at least the worker's memory, '16 GiB'"),
        ("slurm-cpu", "cores-per-worker=2", r"here set `jobqueue\.slurm\.cores`"),
        ("slurm-cpu", "workers=auto", "give the number of jobs to keep"),
        ("slurm-cpu", "adapt={minimum: 3, maximum: 2}", r"`minimum` \(3\) is above `maximum` \(2\)"),
        ("slurm-cpu", "jobqueue.slurm.colour=red", r"jobqueue\.slurm\.colour: unknown key; .*allowed are"),
        ("slurm-cpu", "distributed.scheduler.alowed-failures=3", "did you mean 'allowed-failures'"),
        ("slurm-cpu", "distributed.color=3", r"distributed\.color: unknown key"),
        ("slurm-cpu", "walltime=55m", r"jobqueue\.slurm\.walltime: invalid value '55m'.*days-hours"),
        ("slurm-cpu", "driver.walltime=soon", r"distspc\.driver\.walltime: invalid value 'soon'"),
        ("pbs", "walltime=2-00:00:00", r"jobqueue\.pbs\.walltime: invalid value '2-00:00:00'"),
        ("lsf", "walltime=01:30:00", "hours:minutes in quotes for LSF"),
        ("sge", "cores=8", r"'-pe smp 4' requests 4 slots, and `cores` is 8; make it '-pe smp 8'"),
        ("sge", "job-extra-directives=[]", "no line requests 4 slots; add one such as '-pe smp 4'"),
    ],
)
def test_what_cannot_be_is_refused_with_key_value_and_way_out(name, override, words):
    with pytest.raises(InputError, match=words):
        load_profile(name, [override])


def test_unknown_profiles_sections_and_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no profile 'slrum-cpu'; did you mean 'slurm-cpu'\?"):
        load_profile("slrum-cpu")
    with pytest.raises(InputError, match=r"no profile file .*nowhere\.yaml"):
        load_profile(tmp_path / "nowhere.yaml")
    path = tmp_path / "mine.yaml"
    path.write_text("distspc: {kind: local}\ncluster: {}\n")
    with pytest.raises(InputError, match="cluster: unknown section; allowed are distspc, distributed"):
        load_profile(path)
    path.write_text("distspc: &a {kind: local}\nlogging: *a\n")
    with pytest.raises(InputError, match="aliases"):
        load_profile(path)
    path.write_text("- 1\n")
    with pytest.raises(InputError, match="must be a mapping of keys to values, not list"):
        load_profile(path)
    path.write_text("distspc: [\n")
    with pytest.raises(InputError, match="cannot be read as YAML"):
        load_profile(path)


def test_a_text_for_lines_of_a_job_is_refused():
    with pytest.raises(
        InputError, match=r"jobqueue\.slurm\.job-script-prologue: invalid value 'module load x': expected a valid list"
    ):
        load_profile("slurm-cpu", ["job-script-prologue=module load x"])


def test_every_mistake_is_named_at_once():
    with pytest.raises(InputError) as caught:
        load_profile("slurm-cpu", ["cores=0", "memory=16", "driver.walltime=soon", "distributed.color=3"])
    keys = [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]]
    assert keys == [
        "distributed.color",
        "jobqueue.slurm.cores",
        "jobqueue.slurm.memory",
        "distspc.driver.walltime",
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_profile_is_a_profile_again(name):
    profile = load_profile(name, ["lifetime=55m"])
    assert load_profile(profile) == profile
