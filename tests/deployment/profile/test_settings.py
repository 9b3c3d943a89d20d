"""The section `distspc` of a profile, as an object."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from distspc.deployment.profile.quantities import Duration, Memory
from distspc.deployment.profile.reading import load_profile
from distspc.deployment.profile.settings import Profile, ProfileSettings


def test_memory_and_lifetime_are_read_once_and_written_as_they_were():
    settings = ProfileSettings.model_validate({"kind": "local", "memory-per-worker": "8 GiB", "lifetime": "55m"})
    assert settings.memory_per_worker == Memory("8 GiB", 8 * 2**30)
    assert settings.lifetime == Duration("55m", 3300)
    assert settings.driver.memory == Memory("4 GiB", 4 * 2**30)
    written = settings.model_dump(by_alias=True, mode="json", exclude_unset=True)
    assert written == {"kind": "local", "memory-per-worker": "8 GiB", "lifetime": "55m"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"kind": "slurm"}, "give the number of jobs to keep in the queue"),
        ({"kind": "pbs", "workers": 2, "cores-per-worker": 2}, r"here set `jobqueue\.pbs\.cores`"),
        ({"kind": "sge", "workers": 2, "memory-per-worker": "2 GiB"}, r"here set `jobqueue\.sge\.memory`"),
        ({"kind": "local", "address": "tcp://a:1"}, "kind `address` goes with `address` or `scheduler-file`"),
        ({"kind": "local", "timeouts": {"poll": 0}}, "greater than 0"),
        ({"kind": "local", "workers": True}, "workers"),
        ({"kind": "local", "colour": 1}, "colour"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(content, words):
    with pytest.raises(ValidationError, match=words):
        ProfileSettings.model_validate(content)


@pytest.mark.parametrize(
    ("kind", "security", "tls"),
    [("local", "auto", False), ("local", "tls", True), ("slurm", "auto", True), ("slurm", "none", False)],
)
def test_jobs_talk_tls_unless_told_otherwise(kind, security, tls):
    settings = ProfileSettings(kind=kind, workers=1, security=security)
    assert Profile(name="mine", settings=settings, config={}).tls == tls


def test_a_profile_of_jobs_has_a_queue_and_a_job():
    profile = load_profile("slurm-runner")
    assert profile.submits_jobs
    assert profile.queue.submit_command == "sbatch"
    assert profile.job.cores == 4
    local = load_profile("local")
    assert not local.submits_jobs
    for name in ("queue", "job"):
        with pytest.raises(ValueError, match="kind local submits no jobs"):
            getattr(local, name)
