"""A whole study through sbatch: extraction on GPU-tagged workers, the rest on others, the numbers of a local run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from PIL import Image

from distspc.datasets.demo import patches
from distspc.deployment.batch.driver import submit_driver
from distspc.deployment.session import deploy
from distspc.pipeline.run import Study
from distspc.store.store import Store
from distspc.testing.stores import relu_activations

pytestmark = pytest.mark.slurm

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
LAYERS = ["block1_pool", "block2_pool"]
STAGES = ("extract", "distances", "reconstruct")
RUN_S = 150


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A folder with a few photographs, scores and two profiles."""
    folder = tmp_path_factory.mktemp("images")
    for name in ("Targets", "Fillers"):
        (folder / name).mkdir()
    for i, patch in enumerate(patches(2)):
        Image.fromarray(patch).save(folder / ("Fillers" if i % 2 else "Targets") / f"{i // 2 + 1}.png")
    n_targets = len(list((folder / "Targets").iterdir()))
    rng = np.random.default_rng(0)
    rows = ["image,hit", *(f"{i + 1},{rng.uniform():.3f}" for i in range(n_targets))]
    (folder / "scores.csv").write_text("\n".join(rows) + "\n")
    return folder


def write_study(root: Path, folder: Path, **more) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "store": str(folder / "study.zarr"),
        "images": {"targets": str(root / "Targets"), "fillers": str(root / "Fillers")},
        "scores": {"file": str(root / "scores.csv"), "image": "image", "columns": ["hit"]},
        "model": {"weights": "random", "batch-size": 4},
        "layers": LAYERS,
        "reconstruction": {"units": 100, "codewords": 20, "batches": 10, "batch-size": 16, "seeds": [0, 1]},
        "relate": {"bootstrap": 50},
        **more,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def write_short_study(root: Path, folder: Path, activations: Path) -> Path:
    """A study that needs neither the network nor scores."""
    return write_study(root, folder, activations=str(activations), images=None, scores=None)


def write_gpu_profile(folder: Path) -> Path:
    """The test bed's profile with a fake GPU for each job."""
    content = yaml.safe_load((CLUSTER / "testbed.yaml").read_text())
    content["distspc"] |= {"resources": {"GPU": 1}, "workers": 1}
    content["jobqueue"]["slurm"]["job-extra-directives"] = ["--gres=gpu:1"]
    path = folder / "gpu.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def activations(images) -> Path:
    """Activations in the authors' layout, for what needs no network."""
    n_targets = len(list((images / "Targets").iterdir()))
    for i, layer in enumerate(LAYERS):
        values = relu_activations(2 * n_targets, 200, seed=i)
        for name, rows in (("Targets", values[:n_targets]), ("Fillers", values[n_targets:])):
            folder = images / "Activations" / layer / name
            folder.mkdir(parents=True)
            for number, row in enumerate(rows, start=1):
                np.save(folder / f"{number}.npy", row[None])
    return images / "Activations"


@pytest.fixture(scope="module")
def alone(images, activations, tmp_path_factory) -> Path:
    """The store of the study on these activations, run by this process alone."""
    study = write_short_study(images, tmp_path_factory.mktemp("alone"), activations)
    Study.from_file(study).run(stages=STAGES)
    return study.parent / "study.zarr"


@pytest.fixture(scope="module")
def local(images, tmp_path_factory) -> Path:
    """The store of the same study, run in this machine's own workers."""
    study = write_study(images, tmp_path_factory.mktemp("local"))
    with deploy("local", overrides=["workers=1", "cores-per-worker=1"]) as client:
        Study.from_file(study).run(client, stages=[*STAGES, "relate"])
    return study.parent / "study.zarr"


def command(study: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-c", "from distspc.cli import main; main()", "run", str(study), *arguments]


def run(study: Path, *arguments: str) -> subprocess.CompletedProcess:
    done = subprocess.run(command(study, *arguments), capture_output=True, text=True, timeout=RUN_S, cwd=study.parent)
    assert done.returncode == 0, done.stderr
    return done


def assert_same(store: Path, reference: Path) -> None:
    ours, theirs = Store(store).open(), Store(reference).open()
    assert set(ours.groups) == set(theirs.groups)
    measured = [name for name in ("distances", "reconstruction", "relations") if f"/{name}" in theirs.groups]
    for group in (*measured, *(f"activations/{layer}" for layer in LAYERS)):
        for name, variable in theirs[group].data_vars.items():
            found = ours[group][name].values
            if variable.dtype.kind == "f":
                np.testing.assert_allclose(found, variable.values, rtol=1e-5, atol=1e-7, err_msg=f"{group} {name}")
            else:
                np.testing.assert_array_equal(found, variable.values, err_msg=f"{group} {name}")


def test_the_study_through_sbatch_equals_the_local_one_though_extraction_loses_its_job(queue, images, local, tmp_path):
    profiles = {"extract": str(write_gpu_profile(tmp_path)), "distances": "testbed", "reconstruct": "testbed"}
    study = write_study(images, tmp_path / "here", profiles=profiles)
    with subprocess.Popen(command(study), stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("extract: ") and line.endswith(" tasks\n"):
                time.sleep(1)
                subprocess.run(["scancel", *queue()], check=True)
        assert process.wait(timeout=RUN_S) == 0, lines
    assert any(line.startswith("dashboard: http://127.0.0.1:") for line in lines[:6])  # after what was checked
    assert queue() == []
    assert_same(tmp_path / "here" / "study.zarr", local)
    names = {path.name.rpartition("-")[0] for path in (tmp_path / "here" / "distspc-logs").glob("*.err")}
    assert names == {"study-extract", "study-distances"}
    again = run(study)
    assert "http://" not in again.stderr  # nothing left to do: no cluster


def test_the_driver_as_a_job_runs_the_whole_study(queue, images, activations, alone, tmp_path, until):
    study = write_short_study(images, tmp_path / "driven", activations)
    job = submit_driver(study, "testbed", overrides=["workers=1"])
    assert queue() == [job.job_id]
    until(lambda: queue() == [], seconds=RUN_S)
    assert job.log.exists(), os.listdir(job.log.parent)
    assert Study.from_file(study).report.exists(), job.log.read_text()
    assert_same(study.parent / "study.zarr", alone)


def test_one_job_of_many_tasks_runs_the_whole_study(queue, images, activations, alone, tmp_path, until):
    study = write_short_study(images, tmp_path / "runner", activations)
    overrides = ["workers=1", "cores=1", "memory=3 GiB", "walltime=00:20:00", "interface=lo"]
    job = submit_driver(study, "slurm-runner", overrides=overrides)
    until(lambda: queue() == [], seconds=RUN_S)
    assert Study.from_file(study).report.exists(), job.log.read_text()
    assert_same(study.parent / "study.zarr", alone)
    assert not list(job.log.parent.glob(".runner-*"))


def worker_process(job: str) -> psutil.Process:
    """The process of a job in which its tasks run."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(process.cmdline()) and process.environ().get("SLURM_JOB_ID") == job:
                return process
    raise LookupError(f"job {job} has no worker")


@pytest.mark.faults
def test_workers_lost_in_the_middle_of_each_stage_change_no_number(queue, images, activations, alone, tmp_path):
    study = Study.from_file(write_short_study(images, tmp_path / "hurt", activations))
    hurt = []

    def progress(label, n_done, n_tasks):
        if n_done == 1 < n_tasks:
            if not hurt or label == "reconstruct":
                subprocess.run(["scancel", queue()[0]], check=True)
            else:
                worker_process(queue()[0]).kill()
            hurt.append(label)

    with deploy("testbed", overrides=["workers=1"], log_directory=tmp_path / "logs") as client:
        study.run(client, stages=STAGES, progress=progress)
    assert set(hurt) == {"import activations", "distances", "reconstruct"}  # side by side
    assert_same(study.store, alone)


@pytest.mark.faults
def test_a_third_of_the_jobs_lost_side_by_side_changes_no_number_and_repeats_nothing_stored(
    queue, images, activations, alone, tmp_path
):
    study = Study.from_file(write_short_study(images, tmp_path / "third", activations))
    stored: dict[Path, int] = {}

    def progress(label, n_done, n_tasks):
        if label == "reconstruct" and n_done == 1 and not stored:
            files = (
                path for group in ("distances", "reconstruction") for path in (study.store / group).rglob("c/**/*")
            )
            stored.update((path, path.stat().st_mtime_ns) for path in files if path.is_file())
            worker_process(queue()[0]).kill()

    with deploy("testbed", overrides=["workers=3"], log_directory=tmp_path / "logs") as client:
        client.wait_for_workers(3, timeout=RUN_S)
        study.run(client, stages=STAGES, progress=progress)
    assert stored, "nothing was killed"
    assert {path: path.stat().st_mtime_ns for path in stored} == stored
    assert_same(study.store, alone)


@pytest.mark.faults
def test_workers_at_the_end_of_their_life_change_no_number(queue, images, activations, alone, tmp_path, until):
    study = Study.from_file(write_short_study(images, tmp_path / "short", activations))
    waited = []

    def progress(label, n_done, n_tasks):
        if n_done == 1 < n_tasks and label != "import activations":
            before = queue()
            until(lambda: queue() and set(queue()).isdisjoint(before), seconds=RUN_S)
            waited.append(label)

    with deploy("testbed", overrides=["workers=1", "lifetime=4s"], log_directory=tmp_path / "logs") as client:
        study.run(client, stages=STAGES, progress=progress)
    assert sorted(waited) == ["distances", "reconstruct"]  # side by side
    assert_same(study.store, alone)


@pytest.mark.faults
def test_an_interrupted_command_goes_on_and_gives_the_same_numbers(queue, images, activations, alone, tmp_path):
    study = write_short_study(images, tmp_path / "halves", activations)
    arguments = ("--profile", "testbed", "--set", "workers=1")
    with subprocess.Popen(
        command(study, *arguments), stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True
    ) as process:
        assert any(line.startswith("distances: ") for line in process.stderr)
        os.killpg(process.pid, signal.SIGTERM)
        assert "run the same command again" in process.stderr.read()
        assert process.wait(timeout=RUN_S) == 130
    assert queue() == []
    run(study, *arguments, "--performance-report", str(tmp_path / "performance.html"))
    assert "Dask Performance Report" in (tmp_path / "performance.html").read_text()
    assert_same(study.parent / "study.zarr", alone)
