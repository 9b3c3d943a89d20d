"""Where the dashboard is; in a real browser its progress bars speak the study's words."""

import socket
import threading
import time

import pytest

from distspc.deployment.dashboard import dashboard_lines, free_dashboard, ssh_line
from distspc.deployment.session import deploy
from distspc.pipeline.run import Study
from distspc.testing.stores import make_store

# The bars are drawn on a canvas: their labels are read from the data that Bokeh draws.
LABELS = """
const found = [];
for (const document of Bokeh.documents)
    for (const model of document._all_models.values())
        if (model.type === "ColumnDataSource")
            found.push(...Object.values(model.data).flatMap(column => Array.from(column)).map(String));
return found.join("\\n");
"""


@pytest.mark.browser
def test_stage_and_layer_are_on_the_dashboard_during_a_run(tmp_path, open_page):
    make_store(tmp_path / "s.zarr", n_targets=20, n_fillers=30, layers={"fc2": 300})
    study = Study.from_dict(
        {
            "store": str(tmp_path / "s.zarr"),
            "activations": str(tmp_path),
            "layers": ["fc2"],
            "reconstruction": {"units": 200, "codewords": 100, "batches": 400, "batch-size": 30, "seeds": [0, 1, 2, 3]},
        }
    )
    with deploy("local", overrides=("workers=1",)) as client:
        link = client.dashboard_link
        assert link.startswith("http://127.0.0.1:")
        page = open_page(link)
        work = threading.Thread(target=study.run, args=(client,), kwargs={"stages": ["reconstruct"]})
        work.start()
        labels, deadline = "", time.monotonic() + 60
        while "reconstruct:fc2" not in labels and time.monotonic() < deadline:
            time.sleep(0.2)
            labels = page.execute_script(LABELS) if page.execute_script("return 'Bokeh' in window") else ""
        work.join()
    assert "reconstruct:fc2" in labels


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


def test_a_job_is_reached_through_the_host_it_was_submitted_from(monkeypatch):
    for name in ("SLURM_SUBMIT_HOST", "PBS_O_HOST", "LSB_SUB_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    assert ssh_line("node7", 8787) == "ssh -N -L 8787:127.0.0.1:8787 me@node7"
    monkeypatch.setenv("PBS_O_HOST", "login.site")
    assert ssh_line("node7", 8787) == "ssh -N -L 8787:127.0.0.1:8787 -J me@login.site me@node7"
    assert "-J" not in ssh_line("login", 8787)


def test_a_port_that_is_taken_gives_way_to_any_other():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_dashboard(f"127.0.0.1:{port}") == "127.0.0.1:0"
    assert free_dashboard("127.0.0.1:0") == "127.0.0.1:0"
