"""Profiles, job scripts, clusters on this machine, existing schedulers, failures as sentences."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distspc.deployment.batch.driver import driver_script, job_script, submit_driver
from distspc.deployment.batch.jobs import lifetime
from distspc.deployment.batch.runner import remove_stale_rendezvous
from distspc.deployment.batch.slurm import clean_environment
from distspc.deployment.dashboard import dashboard_lines
from distspc.deployment.failures import explain_failure, last_log_error
from distspc.deployment.profile.quantities import lsf_seconds, memory_nbytes, seconds
from distspc.deployment.profile.queues import job_memory_mib
from distspc.deployment.profile.reading import list_profiles, load_profile
from distspc.deployment.profile.shape import worker_shape, worker_threads
from distspc.deployment.session import deploy
from distspc.deployment.tls import certificate_folder
from distspc.errors import InputError, WorkerError
from distspc.testing.workers import blas_threads, crash, fill_memory, process_info, threads_in_use

SHIPPED = ("local", "local-gpu", "lsf", "pbs", "sge", "slurm-cpu", "slurm-gpu", "slurm-runner", "testbed")
QUEUES = tuple(name for name in SHIPPED if not name.startswith("local"))
WAIT_S = 60


# ---------------------------------------------------------------- profiles


def test_shipped_profiles_are_listed_with_what_they_are_for():
    listed = list_profiles()
    assert tuple(listed) == SHIPPED
    assert all(len(text) > 20 for text in listed.values())


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_loads_and_every_key_has_a_comment(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.tls == (name in QUEUES)
    path = Path(__file__).parents[2] / "cluster" / f"{name}.yaml"
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
        ("slurm-cpu", "workers=auto", "say how many jobs to keep"),
        ("slurm-cpu", "adapt={minimum: 3, maximum: 2}", r"`minimum` \(3\) is above `maximum` \(2\)"),
        ("slurm-cpu", "jobqueue.slurm.colour=red", r"jobqueue\.slurm\.colour: unknown key; .*allowed are"),
        ("slurm-cpu", "distributed.scheduler.alowed-failures=3", "did you mean 'allowed-failures'"),
        ("slurm-cpu", "distributed.color=3", r"distributed\.color: unknown key"),
        ("slurm-cpu", "walltime=55m", r"jobqueue\.slurm\.walltime: invalid value '55m'.*days-hours"),
        ("slurm-cpu", "driver.walltime=soon", r"distspc\.driver\.walltime: invalid value 'soon'"),
        ("pbs", "walltime=2-00:00:00", r"jobqueue\.pbs\.walltime: invalid value '2-00:00:00'"),
        ("lsf", "walltime=01:30:00", "hours:minutes in quotes for LSF"),
        ("sge", "cores=8", r"'-pe smp 4' asks for 4 slots, and `cores` is 8; make it '-pe smp 8'"),
        ("sge", "job-extra-directives=[]", "nothing asks for 4 slots; add such as '-pe smp 4'"),
    ],
)
def test_what_cannot_be_is_refused_with_key_value_and_way_out(name, override, words):
    with pytest.raises(InputError, match=words):
        load_profile(name, [override])


def test_a_machine_is_not_given_more_memory_than_it_has():
    profile = load_profile("local", ["workers=3", "memory-per-worker=60 TiB"])
    with pytest.raises(InputError, match=r"3 workers with memory-per-worker 60 TiB need .* this machine has"):
        worker_shape(profile)


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


def test_a_profile_file_is_plain_dask_configuration(tmp_path):
    import dask

    path = tmp_path / "mine.yaml"
    path.write_text("distspc: {kind: local, workers: 1}\ndistributed: {scheduler: {allowed-failures: 7}}\n")
    assert worker_shape(load_profile(path)).n_workers == 1
    before = dask.config.get("distributed.scheduler.allowed-failures")
    with deploy(path, overrides=["processes=false"]) as client:
        assert client.cluster.scheduler.allowed_failures == 7
    assert dask.config.get("distributed.scheduler.allowed-failures") == before


@given(st.floats(0.25, 1000), st.sampled_from(["MiB", "GiB"]))
def test_memory_reads_back(number, unit):
    nbytes = memory_nbytes(f"{number:.3f} {unit}")
    assert abs(nbytes / {"MiB": 2**20, "GiB": 2**30}[unit] - number) <= 1e-3
    assert job_memory_mib(nbytes) * 2**20 >= nbytes + 2**29


@given(st.integers(0, 9), st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_walltimes_read_back(days, hours, minutes, rest):
    total = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if total:
        assert seconds(f"{days}-{hours:02d}:{minutes:02d}:{rest:02d}") == total
    if hours or minutes:
        assert lsf_seconds(f"{hours:02d}:{minutes:02d}") == 3600 * hours + 60 * minutes


@pytest.mark.parametrize("wall", ["00:00:30", "00:10:00", "04:00:00", "7-00:00:00"])
def test_a_worker_hands_over_before_the_walltime_even_with_the_stagger(wall):
    hand_over = lifetime(load_profile("slurm-cpu", [f"walltime={wall}"]))
    assert hand_over.age - hand_over.stagger > 0
    assert hand_over.age + hand_over.stagger < seconds(wall)


def test_a_lifetime_beyond_the_walltime_is_refused():
    with pytest.raises(InputError, match=r"`lifetime` \(2h\) must be less than the walltime"):
        lifetime(load_profile("slurm-cpu", ["lifetime=2h", "walltime=01:00:00"]))


# ---------------------------------------------------------------- job scripts

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


@pytest.mark.parametrize("name", QUEUES)
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


def test_a_folder_that_a_job_script_cannot_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot stand in a job script because of ' '"):
        job_script("slurm-cpu", log_directory=tmp_path / "my logs")


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


def test_jobs_do_not_inherit_the_allocation_around_them(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1")
    monkeypatch.setenv("SLURM_CONF", "/somewhere")
    environment = clean_environment()
    assert [name for name in environment if name.startswith("SLURM_")] == ["SLURM_CONF"]
    assert environment["PATH"] == os.environ["PATH"]


def test_without_the_commands_of_the_queue_the_error_says_where_to_go(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"there is no sbatch on this machine: .* login node"), deploy("slurm-cpu"):
        pass


# A queue of two commands: it runs a job at once, in a session of its own, and ends it by its id.
SUBMIT = """#!/bin/sh
script=$(mktemp "{folder}/job.XXXXXX")
cat "${{1:-/dev/stdin}}" > "$script"
setsid bash "$script" > "{folder}/log" 2>&1 < /dev/null &
echo "Job <$!> is submitted"
"""
CANCEL = """#!/bin/sh
kill -TERM -- "-$1"
"""


@pytest.mark.parametrize(
    ("queue", "submit", "cancel"), [("pbs", "qsub", "qdel"), ("lsf", "bsub", "bkill"), ("sge", "qsub", "qdel")]
)
def test_the_script_of_every_queue_makes_a_worker_with_the_cores_asked_for(
    queue, submit, cancel, tmp_path, monkeypatch
):
    for command, text in ((submit, SUBMIT), (cancel, CANCEL)):
        (tmp_path / command).write_text(text.format(folder=tmp_path))
        (tmp_path / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # as the user's shell may say: the profile decides
    changed = ["workers=1", "cores=2", "memory=1 GiB", "interface=lo", "timeouts.start=60"]
    changed += ['job-extra-directives=["-pe smp 2"]'] if queue == "sge" else []
    with deploy(queue, overrides=changed, log_directory=tmp_path / "logs") as client:
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        assert list(client.run(blas_threads).values()) == [{"blas": 2, "assigned": 2}]
        (one,) = client.run(process_info).values()
    until(lambda: not Path(f"/proc/{one['pid']}").exists())
    assert os.environ["OMP_NUM_THREADS"] == "7"


# ---------------------------------------------------------------- certificates


def test_certificates_of_dead_runs_are_swept_and_others_left(tmp_path):
    hold = (
        "import sys, time; from pathlib import Path; from distspc.deployment.tls import certificate_folder\n"
        "with certificate_folder(Path(sys.argv[1])) as folder:\n"
        "    print(folder, flush=True); time.sleep(600)"
    )
    other = tmp_path / ".tls-made-by-hand"
    other.mkdir()
    with subprocess.Popen([sys.executable, "-c", hold, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        theirs = Path(process.stdout.readline().strip())
        try:
            with certificate_folder(tmp_path) as ours:
                assert theirs.is_dir()
                assert ours.stat().st_mode & 0o777 == 0o700
            assert not ours.exists()
        finally:
            process.kill()
    assert theirs.is_dir()
    with certificate_folder(tmp_path):
        assert not theirs.exists()
    assert list(tmp_path.iterdir()) == [other]


def test_meeting_places_of_jobs_that_are_gone_are_swept(tmp_path, monkeypatch):
    for name in (".runner-41.0", ".runner-42.0"):
        (tmp_path / "logs" / name).mkdir(parents=True)
    answer = tmp_path / "squeue"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for code, left in ((1, 2), (0, 1)):  # a queue that does not answer holds everything
        answer.write_text(f"#!/bin/sh\necho 42\nexit {code}\n")
        answer.chmod(0o755)
        remove_stale_rendezvous(tmp_path / "logs")
        assert len(list((tmp_path / "logs").iterdir())) == left
    assert (tmp_path / "logs" / ".runner-42.0").exists()


# ---------------------------------------------------------------- clusters on this machine


@pytest.mark.parametrize("processes", ["true", "false"])
def test_local_cluster_listens_here_only_and_has_one_slot_a_worker(processes):
    with deploy("local", overrides=["workers=1", "cores-per-worker=2", f"processes={processes}"]) as client:
        workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
        assert [w["nthreads"] for w in workers] == [1]
        assert {w["host"] for w in workers} == {"127.0.0.1"}
        assert client.scheduler.address.startswith("tcp://127.0.0.1:")
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3
    assert "DISTSPC_THREADS" not in os.environ


def test_threads_inside_a_worker_are_its_cores():
    with deploy("local", overrides=["workers=2", "cores-per-worker=1"]) as client:
        assert list(client.run(blas_threads).values()) == [{"blas": 1, "assigned": 1}] * 2
    with deploy("local", overrides=["workers=1", "cores-per-worker=2"]) as client:
        assert list(client.run(threads_in_use).values()) == [{"blas": 2, "assigned": 2, "tensorflow": 2}]
    assert worker_threads() == 1


def test_each_gpu_worker_sees_its_own_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    with deploy("local-gpu") as client:
        assert sorted(one["gpus"] for one in client.run(process_info).values()) == ["4", "6"]
        offers = [worker["resources"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        assert offers == [{"GPU": 1}] * 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError, match="no GPU found on this machine"), deploy("local-gpu"):
        pass


def test_a_tls_cluster_refuses_who_has_no_certificate():
    from distributed import Client

    with deploy("local", overrides=["security=tls", "workers=1", "processes=false"]) as client:
        address = client.scheduler.address
        assert address.startswith("tls://")
        with pytest.raises(OSError, match=r"(?i)timed out|reset by peer"):
            Client(address.replace("tls", "tcp"), timeout=1, set_as_default=False)


@pytest.mark.faults
def test_a_task_that_kills_its_workers_is_told_in_a_sentence():
    overrides = ["workers=1", "distributed.scheduler.allowed-failures=0"]

    def run():
        with deploy("local", overrides=overrides) as client:
            client.submit(crash, pure=False).result(timeout=WAIT_S)

    with pytest.raises(WorkerError, match=r"task crash-.* lost its worker 1 times: it ended without an error message"):
        run()


@pytest.mark.faults
def test_a_local_worker_that_is_gone_for_good_is_replaced():
    with deploy("local", overrides=["workers=2", "cores-per-worker=1"]) as client:
        until(lambda: len(client.cluster.workers) == 2)  # workers connect before the cluster has them in its books
        name, nanny = next(iter(client.cluster.workers.items()))
        client.cluster.sync(nanny.close)
        until(lambda: client.cluster.workers.get(name) not in (None, nanny))
        client.wait_for_workers(2, timeout=WAIT_S)
        assert client.submit(sum, [1, 2]).result(timeout=WAIT_S) == 3


def until(true):
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.faults
def test_a_task_that_takes_too_much_memory_is_told_in_a_sentence():
    overrides = ["workers=1", "memory-per-worker=0.5 GiB", "distributed.scheduler.allowed-failures=0"]

    def run():
        with deploy("local", overrides=overrides) as client:
            client.submit(fill_memory, 2**30, 30).result(timeout=WAIT_S)

    with pytest.raises(WorkerError, match=r"task fill_memory-.* lost its worker 1 times: it ran out of memory"):
        run()


def test_errors_of_the_work_itself_pass_as_they_are():
    with (
        pytest.raises(TypeError, match="unsupported operand"),
        deploy("local", overrides=["workers=1", "processes=false"]) as client,
    ):
        client.submit(sum, ["a"]).result(timeout=WAIT_S)


SCRIPT = """
import signal
from distspc import deploy
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & ignores Ctrl-C
    with deploy("local", overrides=["workers=2", "cores-per-worker=1"]) as client:
        futures = client.map(__import__("time").sleep, [60] * 4, pure=False)
        print(*client.run(__import__("os").getpid).values(), flush=True)
        client.gather(futures)
"""


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_script_leaves_no_process(tmp_path, number):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, script], start_new_session=True, **quiet) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 2
        os.killpg(process.pid, number)
        assert process.wait(timeout=WAIT_S) != 0
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


# ---------------------------------------------------------------- existing schedulers


def test_an_address_and_a_scheduler_file_are_profiles_and_are_left_running(tmp_path):
    with deploy("local", overrides=["workers=1", "processes=false"]) as owner:
        path = tmp_path / "scheduler.json"
        owner.write_scheduler_file(str(path))
        for place in (owner.scheduler.address, str(path)):
            with deploy(place) as client:
                assert client.cluster is None
                assert client.submit(sum, [1, 2]).result(timeout=WAIT_S) == 3
        assert owner.submit(sum, [3, 4]).result(timeout=WAIT_S) == 7


def test_a_scheduler_without_workers_or_answer_is_told(tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, processes=False, dashboard_address=None, protocol="tcp://") as cluster:
        path = tmp_path / "mine.yaml"
        path.write_text(f"distspc: {{kind: address, address: '{cluster.scheduler_address}', timeouts: {{start: 0.5}}}}")
        with pytest.raises(WorkerError, match=r"has had no worker for 0\.5 s"), deploy(path):
            pass
    with pytest.raises(InputError, match="no scheduler answers at tcp://"), deploy(path):
        pass
    with pytest.raises(InputError, match="there is no scheduler file"), deploy(tmp_path / "nowhere.json"):
        pass


# ---------------------------------------------------------------- what users read


def test_the_dashboard_is_told_for_here_for_ssh_and_for_jupyter(monkeypatch):
    for name in ("SSH_CONNECTION", "SLURM_JOB_ID", "SLURM_SUBMIT_HOST", "JUPYTERHUB_SERVICE_PREFIX", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    with deploy("local", overrides=["workers=1", "processes=false"]) as client:
        port = client.scheduler_info()["services"]["dashboard"]
        assert dashboard_lines(client) == [f"dashboard: http://127.0.0.1:{port}/status"]
        monkeypatch.setenv("SLURM_JOB_ID", "1")
        monkeypatch.setenv("SLURM_SUBMIT_HOST", "login.site")
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
        _, ssh, jupyter = dashboard_lines(client)
    assert f"ssh -N -L {port}:127.0.0.1:{port} -J " in ssh
    assert "@login.site " in ssh
    assert jupyter == f"inside Jupyter: /user/me/proxy/{port}/status"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("distributed.nanny.memory - WARNING - Worker exceeded 95% memory budget. Restarting...", "ran out of memory"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch", "ran out of memory"),
        ("Traceback\nModuleNotFoundError: No module named 'keras'", "No module named 'keras'"),
        ("Start worker", "ended without an error message"),
    ],
)
def test_a_killed_worker_is_explained_by_its_log(tmp_path, log, words):
    from types import SimpleNamespace

    from distributed.scheduler import KilledWorker

    from distspc.deployment.batch.job_classes import JobHistory

    (tmp_path / "study-17.err").write_text(log)
    (tmp_path / "study-170.err").write_text("ModuleNotFoundError: not this one")
    cluster = SimpleNamespace(distspc_record=JobHistory(submitted=["17"]), distspc_logs=tmp_path)
    error = KilledWorker("distances:fc2-1", SimpleNamespace(address="tcp://x"), 20)
    said = str(explain_failure(error, SimpleNamespace(cluster=cluster)))
    assert words in said
    assert said.startswith("task distances:fc2-1 lost its worker 21 times")
    assert said.endswith(f"log: {tmp_path}/study-17.err")


def test_last_words_of_jobs_without_a_log():
    assert last_log_error(None, ["3"]) == "they left no log"


# ---------------------------------------------------------------- imports


def test_profiles_need_neither_dask_jobqueue_nor_tensorflow():
    code = (
        "import sys; from distspc import load_profile; from distspc.deployment.profile.shape import worker_shape; "
        "worker_shape(load_profile('slurm-cpu')); "
        "assert not {'dask_jobqueue', 'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_dask_jobqueue_leaves_ctrl_c_as_it_was():
    code = (
        "import signal; from distspc import job_script; before = signal.getsignal(signal.SIGINT); "
        "job_script('slurm-cpu'); assert signal.getsignal(signal.SIGINT) is before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_dask_jobqueue_in_a_thread_loses_no_handler_that_the_main_thread_sets():
    code = """
import builtins, signal, threading
from distspc.deployment.shutdown import preserve_signal_handlers
inside, done = threading.Event(), threading.Event()
def load():
    with preserve_signal_handlers():
        inside.set()
        assert done.wait(30)
        import dask_jobqueue
thread = threading.Thread(target=load)
thread.start()
assert inside.wait(30)
ours = lambda *_: None
signal.signal(signal.SIGINT, ours)
done.set()
thread.join(60)
assert signal.getsignal(signal.SIGINT) is ours
assert signal.signal.__name__ == "signal"
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)
