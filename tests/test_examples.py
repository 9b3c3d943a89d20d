"""Every example runs as it stands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
REFERENCE = Path(os.environ.get("DISTSPC_REFERENCE_DATA", EXAMPLES.parents[1] / "shared/data/isola"))
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the authors' files are not here; name their folder in DISTSPC_REFERENCE_DATA"
)


def run(script, *arguments, cwd):
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the notebook's own machinery
def test_notebook(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / "study.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = " ".join(str(output.get("text", "")) + str(output.get("data", "")) for output in outputs)
    assert "http://127.0.0.1:" in text
    assert "image/png" in text
    assert "ci_low" in text


@needs_reference
def test_published_figures_come_out(tmp_path):
    out = run("reproduce_published.py", REFERENCE, cwd=tmp_path)
    assert all(figure in out for figure in (".36", ".29", ".16"))


@needs_reference
def test_a_report_is_made_of_the_published_results(tmp_path):
    run("report_published.py", REFERENCE, tmp_path / "report.html", cwd=tmp_path)
    assert "Relation to corrected_hit" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_local(tmp_path):
    out = run("local.py", tmp_path / "demo", cwd=tmp_path)
    assert "dashboard: http://127.0.0.1:" in out
    assert "block2_pool" in out
