"""The live dashboard in a real browser: its progress bars speak the study's words."""

import threading
import time

import pytest

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
