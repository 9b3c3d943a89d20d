"""Profiles that say what cannot be are refused before any job or worker is started."""

import os

import pytest

from distspc.pipeline import connections

# The real thing: these cases must be refused before a cluster is there.
CONNECT = connections.Clusters.__call__

LOCAL = "distspc: {kind: local, workers: 1}\n"
SLURM = "distspc: {kind: slurm, workers: 2}\njobqueue: {slurm: {cores: 2, memory: 4 GiB, walltime: '01:00:00'}}\n"
HARM = "os.system ['touch harmed']"


def local(text):
    return f"distspc: {{kind: local, {text}}}\n"


def slurm(old, new):
    assert old in SLURM
    return SLURM.replace(old, new)


PROFILES = {
    "nothing in it": ("", "p.yaml must be a mapping of keys to values, not NoneType"),
    "a list": ("- local\n", "must be a mapping of keys to values, not list"),
    "no YAML": ("distspc: {", "p.yaml cannot be read as YAML"),
    "UTF-16": (LOCAL.encode("utf-16"), "p.yaml cannot be read as YAML"),
    "a megabyte": (b"#" * 1_000_001, "1,000,001 bytes; a profile file is a page of YAML"),
    "a folder": (lambda file: file.mkdir(), "p.yaml: is a folder"),
    "a pipe": (os.mkfifo, "p.yaml.* is not a regular file"),
    "a device": (lambda file: file.symlink_to("/dev/zero"), "p.yaml.* is not a regular file"),
    "a dangling link": (lambda file: file.symlink_to("nowhere"), "there is no profile file p.yaml"),
    "not there": (lambda file: None, "there is no profile file .*p.yaml"),
    "aliases that explode": (
        "a: &a [x, x]\nb: &b [*a, *a]\n",
        r"aliases \(\*name\) are not allowed; write the value out",
    ),
    "a tag that runs code": (
        f"distspc: !!python/object/apply:{HARM}\n",
        "cannot be read as YAML: .*constructor for the tag",
    ),
    "an unknown section": (
        LOCAL + "slurm: {cores: 4}\n",
        "slurm: unknown section; allowed are distspc, distributed, jobqueue",
    ),
    "a section of text": (LOCAL + "distributed: fast\n", "distributed: invalid value 'fast': expected a mapping"),
    "its own section of text": ("distspc: local\n", "distspc: invalid value 'local'"),
    "no kind": ("distspc: {workers: 2}\n", "distspc.kind: this key is missing; expected one of local, slurm"),
    "an unknown kind": ("distspc: {kind: cloud}\n", "distspc.kind: invalid value 'cloud': .*'local', 'slurm'"),
    "an unknown key": (local("wokers: 2"), "distspc.wokers: unknown key; did you mean 'workers'"),
    "an unknown key deeper": (local("timeouts: {begin: 3}"), "timeouts.begin: unknown key; .*allowed are start, close"),
    "a key that Dask does not know": (
        LOCAL + "distributed: {scheduler: {alowed-failures: 9}}\n",
        "mean 'allowed-failures'",
    ),
    "a key that the queue does not know": (
        slurm("cores: 2", "cores: 2, ram: 3"),
        "jobqueue.slurm.ram: unknown key; allowed",
    ),
    "an unknown queue": (
        LOCAL + "jobqueue: {cron: {cores: 2}}\n",
        "jobqueue.cron: unknown key; .*allowed are slurm, pbs",
    ),
    "no workers": (local("workers: 0"), "distspc.workers: invalid value 0"),
    "a billion workers": (local("workers: 1000000000"), "distspc.workers: invalid value 1000000000"),
    "half a worker": (local("workers: 0.5"), "distspc.workers: invalid value 0.5"),
    "memory in GB": (local("memory-per-worker: 8 GB"), "invalid value '8 GB': expected .* MiB, GiB or TiB"),
    "memory without unit": (local("memory-per-worker: 8"), "memory-per-worker: invalid value 8"),
    "memory in words": (local("memory-per-worker: lots"), "invalid value 'lots': expected a number with the unit"),
    "no memory": (local("memory-per-worker: 0 GiB"), "expected between 0.25 GiB and 64 TiB"),
    "negative memory": (local("memory-per-worker: -4 GiB"), "invalid value '-4 GiB': expected a number"),
    "a petabyte of memory": (local("memory-per-worker: 1024 TiB"), "expected between 0.25 GiB and 64 TiB"),
    "more memory than there is": (
        local("workers: 1, memory-per-worker: 60 TiB"),
        "1 worker with memory-per-worker 60 TiB needs .*; this machine has .*: lower `workers` or `memory-per-worker`",
    ),
    "bounds the wrong way round": (
        local("workers: 2, adapt: {minimum: 5, maximum: 2}"),
        r"`minimum` \(5\) is above `maximum` \(2\)",
    ),
    "no port": (local("dashboard-address: everywhere"), "dashboard-address: invalid value 'everywhere'"),
    "a scheduler without address": (
        "distspc: {kind: address}\n",
        "kind `address` goes with `address` or `scheduler-file`",
    ),
    "a job without memory": (
        slurm(", memory: 4 GiB", ""),
        "jobqueue.slurm.memory: invalid value None: expected a number",
    ),
    "a job without cores": (
        slurm("cores: 2, ", ""),
        "jobqueue.slurm.cores: invalid value None: expected the cores of a job",
    ),
    "a job of no time": (
        slurm("'01:00:00'", "soon"),
        "jobqueue.slurm.walltime: invalid value 'soon': expected hours:minutes",
    ),
    "a job with less than its worker": (
        slurm("cores: 2", "cores: 2, job-mem: 2G"),
        "job-mem: invalid value '2G': expected at least the worker",
    ),
    "a job without number": (
        "distspc: {kind: slurm}\n",
        "`workers` is missing: give the number of jobs to keep in the queue",
    ),
}


@pytest.mark.parametrize("case", PROFILES)
def test_a_bad_profile_is_refused(sources, refused, monkeypatch, case):
    monkeypatch.setattr(connections.Clusters, "__call__", CONNECT)
    content, sentence = PROFILES[case]
    profile = sources / "p.yaml"
    if callable(content):
        content(profile)
    else:
        profile.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(["run", "study.yaml", "--profile", "p.yaml"], f"(?s)error: .*{sentence}")
    refused(["plan", "study.yaml", "--profile", "p.yaml"], f"(?s)error: .*{sentence}")
    assert not (sources / "harmed").exists()


OPTIONS = {
    "a misspelt name": (["--profile", "slurm-cpus"], "no profile 'slurm-cpus'; did you mean 'slurm-cpu'.* give one of"),
    "an empty name": (["--profile", ""], "there is no profile ''; give one of .*local"),
    "a scheduler file of text": (
        ["--profile", "scheduler.json"],
        "scheduler file scheduler.json names no address: start `dask scheduler",
    ),
    "a scheduler file that is not there": (["--profile", "none.json"], "there is no scheduler file none.json"),
    "an override without value": (["--set", "workers"], "cannot read the override 'workers'; write key=value"),
    "an override of nothing": (["--set", "=4"], "cannot read the override '=4'; write key=value"),
    "an override of an unknown key": (["--set", "wrkers=4"], "distspc.wrkers: unknown key; did you mean 'workers'"),
    "an override with a tag": (
        ["--set", f"workers=!!python/object/apply:{HARM}"],
        "distspc.workers: invalid value .*",
    ),
    "an override below a number": (["--set", "workers.many=4"], "distspc.workers: invalid value a dict"),
    "impossible memory": (["--set", "memory-per-worker=900 TiB"], "expected between 0.25 GiB and 64 TiB"),
    "too little memory": (["--set", "workers=1", "--set", "memory-per-worker=1 MiB"], "between 0.25 GiB and 64 TiB"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_bad_options_of_a_profile_are_refused(sources, refused, monkeypatch, case):
    monkeypatch.setattr(connections.Clusters, "__call__", CONNECT)
    options, sentence = OPTIONS[case]
    (sources / "scheduler.json").write_text("{not json")
    refused(["run", "study.yaml", *options], f"(?s)error: .*{sentence}")
    assert not (sources / "harmed").exists()


@pytest.mark.parametrize("name", ["job-script", "submit"])
def test_jobs_of_a_local_profile_are_refused(sources, refused, name):
    study = ["study.yaml"] if name == "submit" else []
    refused([name, *study, "--profile", "local"], "error: .*local.*slurm")
