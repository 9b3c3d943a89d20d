"""Job classes of dask-jobqueue, with their shortcomings made good."""

from __future__ import annotations

import asyncio

import pytest

from distspc.deployment.batch.job_classes import (
    JobHistory,
    cluster_class,
    job_class,
    script_text,
    submission_error,
)
from distspc.deployment.profile.queues import QUEUES
from distspc.deployment.profile.reading import load_profile


def test_a_refusal_is_logged_once_where_the_run_goes_on(caplog):
    history = JobHistory()
    history.refuse("no account")
    assert caplog.text == ""
    history.submitted.append("17")
    history.refuse("too many jobs")
    history.refuse("too many jobs")
    assert caplog.text.count("going on with those it took: too many jobs") == 1
    assert history.refusals == ["no account", "too many jobs", "too many jobs"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Command exited with 1\nstdout:\n\nstderr:\nsbatch: error:\n  no account\n", "sbatch: error: no account"),
        ("Command exited with 1\nstdout:\nno slots\nstderr:\n\n", "no slots"),
        ("something else", "something else"),
    ],
)
def test_the_message_of_the_submit_command_is_found(text, message):
    assert submission_error(RuntimeError(text)) == message


@pytest.mark.parametrize("name", QUEUES)
def test_a_job_has_one_thread_for_tasks(name):
    job = job_class(QUEUES[name])
    assert issubclass(job, cluster_class(QUEUES[name]).job_cls)
    assert job.__new__(job).worker_process_threads == 1


@pytest.mark.parametrize(("body", "job_id"), [("echo 17", "17"), ("echo 'no account' >&2; exit 1", None)])
def test_a_job_reports_how_its_submission_went(stand_in, tmp_path, body, job_id):
    stand_in("qsub", body)
    history = JobHistory(refusals=["an old one"])
    job = job_class(QUEUES["pbs"], history)(
        "tcp://127.0.0.1:1", name="one", cores=1, memory="1 GiB", processes=1, log_directory=str(tmp_path)
    )

    async def start():
        await job.start()

    if job_id:
        asyncio.run(start())
        assert (history.submitted, history.refusals, job.refused) == (["17"], [], False)
    else:
        with pytest.raises(RuntimeError, match="no account"):
            asyncio.run(start())
        assert (history.submitted, history.refusals, job.refused) == ([], ["an old one", "no account"], True)
    assert history.in_flight == 0


def test_looking_at_a_script_leaves_no_folder(tmp_path):
    script = script_text(load_profile("pbs"), name="a b", log_directory=tmp_path / "logs")
    assert "tls://<scheduler>:<port>" in script
    assert "--name a-b-<number>" in script
    assert not (tmp_path / "logs").exists()
