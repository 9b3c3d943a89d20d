"""Job scripts as text, and the job that runs a study."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.deployment.batch.driver import driver_script, job_script, submit_driver
from distspc.deployment.batch.jobs import lifetime
from distspc.deployment.profile.queues import job_memory_mib
from distspc.deployment.profile.reading import load_profile
from distspc.deployment.profile.shape import worker_shape
from distspc.errors import InputError

ESSENTIAL = {
    "slurm-cpu": [
        "#SBATCH -J a-study-extract",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=18023M",
        "#SBATCH -t 04:00:00",
    ],
    "slurm-gpu": ["#SBATCH --gres=gpu:1", "--resources GPU=1"],
    "testbed": ["--interface lo", "#SBATCH --mem=4608M"],
    "slurm-runner": [
        "#SBATCH --ntasks=6",
        "exec srun --cpus-per-task=4",
        "distspc.deployment.launch --profile slurm-runner",
    ],
    "pbs": ["#PBS -N a-study-extract", "#PBS -l select=1:ncpus=4:mem=18023mb", "#PBS -l walltime=04:00:00"],
    "lsf": ["#BSUB -J a-study-extract", "#BSUB -n 4", '#BSUB -R "span[hosts=1]"', "#BSUB -W 04:00"],
    "sge": ["#$ -N a-study-extract", "#$ -l h_vmem=4506M", "#$ -pe smp 4", "#$ -l h_rt=04:00:00"],
}

EVERY_WORKER = [
    "trap : TERM",
    "OMP_NUM_THREADS={cores} ",
    '"OMP_NUM_THREADS": "{cores}"',
    '"TF_NUM_INTRAOP_THREADS": "{cores}"',
    "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD=spawn",
    "--nthreads 1 ",
    "--no-dashboard --dashboard-address 127.0.0.1:0",
    "--lifetime ",
    "--lifetime-stagger ",
    "--protocol tls://",
    "--tls-key ",
]


@pytest.mark.parametrize("name", ESSENTIAL)
def test_job_scripts_say_what_the_profile_says(name, tmp_path):
    script = job_script(name, name="a study/extract", log_directory=tmp_path / "logs")
    cores = worker_shape(load_profile(name)).cores
    wanted = ESSENTIAL[name] + ([line.format(cores=cores) for line in EVERY_WORKER] if name != "slurm-runner" else [])
    assert [line for line in wanted if line not in script] == []
    assert f"{tmp_path}/logs/" in script or name == "sge"
    assert not (tmp_path / "logs").exists()
    assert script.startswith("#!/usr/bin/env bash\n")
    assert subprocess.run(["bash", "-n"], input=script.replace("<", "").replace(">", ""), text=True).returncode == 0


ASKED = {  # what a directive says of cores, memory, walltime, name and the folder of the logs
    "slurm-cpu": (
        r"--cpus-per-task=(\d+)",
        r"--mem=(\d+)M",
        r"-t ([\d:]+)",
        r"-J (\S+)",
        r"-[eo] (\S+)/distspc-%J\.\w+",
    ),
    "pbs": (r"ncpus=(\d+)", r"mem=(\d+)mb", r"walltime=([\d:]+)", r"-N (\S+)", r"-[eo] (\S+)/"),
    "lsf": (r"-n (\d+)", r"-M (\d+)", r"-W ([\d:]+)", r"-J (\S+)", r"-[eo] (\S+)/distspc-\S+-%J\.\w+"),
    "sge": (r"-pe smp (\d+)", r"h_vmem=(\d+)M", r"h_rt=([\d:]+)", r"-N (\S+)", r"-[eo] (\S+)/"),
}


@pytest.mark.parametrize("queue", ASKED)
@given(cores=st.integers(1, 64), gib=st.integers(1, 512), minutes=st.integers(2, 9999))
@settings(max_examples=10, deadline=None)
def test_every_queue_is_asked_for_the_same(queue, cores, gib, minutes):
    clock = f"{minutes // 60:02d}:{minutes % 60:02d}"
    wall = clock if queue == "lsf" else f"{clock}:00"
    changed = [f"cores={cores}", f"memory={gib} GiB", f"walltime={wall}"]
    changed += [f'job-extra-directives=["-pe smp {cores}"]'] if queue == "sge" else []
    changed += ["lsf-units=kb"] if queue == "lsf" else []
    script = job_script(queue, overrides=changed, log_directory="/tmp/distspc-no-such-folder")
    directives = re.findall(r"(?m)^#(?:SBATCH|PBS|BSUB|\$) (.*)", script)
    said = [{found[1] for line in directives if (found := re.search(pattern, line))} for pattern in ASKED[queue]]
    assert said[0] == {str(cores)}
    mib = {"lsf": 1000 / 2**20, "sge": cores}.get(queue, 1) * int(*said[1])
    assert job_memory_mib(gib * 2**30) <= mib <= job_memory_mib(gib * 2**30) + cores
    assert said[2:] == [{wall}, {"distspc"}, {"/tmp/distspc-no-such-folder"}]
    age, stagger = (int(re.search(rf"--{name} (\d+)s", script)[1]) for name in ("lifetime", "lifetime-stagger"))
    hand_over = lifetime(load_profile("slurm-cpu", [f"walltime={clock}:00"]))
    assert (age, stagger) == (hand_over.age, hand_over.stagger)
    assert 0 < age - stagger <= age + stagger < 60 * minutes


def test_options_that_a_site_refuses_can_be_left_out():
    script = job_script(
        "slurm-cpu", overrides=['job-directives-skip=["--mem"]', 'job-script-prologue=["module load x"]']
    )
    assert "#SBATCH --mem" not in script
    assert script.index("trap") < script.index("module load x") < script.index("dask_worker")


@pytest.mark.parametrize("profile", ["local", "tcp://127.0.0.1:1"])
def test_profiles_without_jobs_have_no_script(profile):
    with pytest.raises(InputError, match="submits no jobs"):
        job_script(profile)


def test_the_driver_job_runs_the_study_and_is_told_before_its_walltime(tmp_path):
    study = tmp_path / "my-study.yaml"
    overrides = ["driver.walltime=08:00:00", "driver.cores=2"]
    script = driver_script(
        study, load_profile("slurm-cpu", overrides), name="my-study", log_directory=tmp_path / "logs"
    )
    for line in (
        "#SBATCH --cpus-per-task=2",
        "#SBATCH -t 08:00:00",
        "#SBATCH --mem=4096M",
        "#SBATCH --signal=B:TERM@120",
    ):
        assert line in script.splitlines()
    assert script.splitlines()[-1].startswith(f"exec {sys.executable} -c ")
    assert script.rstrip().endswith(f"run {study} --profile slurm-cpu")
    with pytest.raises(InputError, match="there is no study file"):
        submit_driver(study, "slurm-cpu")


@pytest.mark.parametrize(
    ("profile", "command", "answer", "log"),
    [
        ("slurm-cpu", "sbatch", "Submitted batch job 17", "my-study-17.out"),
        ("pbs", "qsub", "17.server", ""),
        ("lsf", "bsub", "Job <17> is submitted to queue <normal>.", ""),
        ("sge", "qsub", 'Your job 17 ("my-study") has been submitted', ""),
    ],
)
def test_the_driver_is_submitted_by_the_command_of_its_queue(stand_in, tmp_path, profile, command, answer, log):
    stand_in(command, f"cat \"${{1:-/dev/stdin}}\" > {tmp_path}/script; echo '{answer}'")
    study = tmp_path / "my study.yaml"
    study.write_text("")
    overrides = ["lsf-units=mb"] if profile == "lsf" else []
    job = submit_driver(study, profile, overrides=overrides, arguments=["--redo"], log_directory=tmp_path / "logs")
    assert job.job_id.split(".")[0] == "17"
    assert job.log == (tmp_path / "logs" / log if log else tmp_path / "logs")
    assert (tmp_path / "script").read_text() == job.script
    assert job.script.rstrip().endswith("--redo")


def test_the_command_of_the_driver_is_there(tmp_path):
    script = driver_script("study.yaml", load_profile("pbs"), name="s", log_directory=tmp_path)
    exec_, *command = shlex.split(script.splitlines()[-1])
    assert exec_ == "exec"
    shown = subprocess.run([*command[: command.index("run")], "--help"], capture_output=True, text=True, check=True)
    assert "submit" in shown.stdout


def test_a_refusal_is_told_in_the_words_of_the_queue(stand_in, tmp_path):
    stand_in("sbatch", "echo 'sbatch: error: invalid  account' >&2; exit 1")
    (tmp_path / "study.yaml").write_text("")
    with pytest.raises(InputError, match="the queue refuses the job: sbatch: error: invalid account"):
        submit_driver(tmp_path / "study.yaml", "slurm-cpu", log_directory=tmp_path / "logs")


def test_the_runner_has_a_task_for_scheduler_client_and_each_worker(tmp_path):
    profile = load_profile("slurm-runner", ["workers=3", "cores=2", 'job-extra-directives=["--exclusive"]'])
    script = driver_script(
        "study.yaml", profile, name="s", log_directory=tmp_path, arguments=["--set", "workers=3", "--redo"]
    )
    lines = script.splitlines()
    for line in ("--ntasks=5", "--signal=TERM@120", "--exclusive", "--mem-per-cpu=9012M", "--cpus-per-task=2"):
        assert f"#SBATCH {line}" in lines
    assert lines[-1].startswith(f"exec srun --cpus-per-task=2 {sys.executable} -m distspc.deployment.launch ")
    assert lines[-1].endswith(f"--set workers=3 --logs {tmp_path} -- run study.yaml --redo")
