"""The stage of further measures: layer by layer beside others, one that fails stops no other."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from distspc.errors import InputError
from distspc.measures.pixels import Pixels
from distspc.pipeline.cost import Resources
from distspc.pipeline.needs.work import Rates, Setting
from distspc.pipeline.run import Study
from distspc.pipeline.stages.measures import Measures
from distspc.results.tidy import tidy_table
from distspc.study.images import StudyImages
from tests.pipeline.stages.shared import N_TARGETS, run_of, study_of

STAGE = Measures()
WORD = "activation-statistics"


def test_a_study_without_measures_has_no_work(tmp_path):
    study = study_of(tmp_path)
    assert STAGE.missing(run_of(study), "fc2") == []
    assert list(STAGE.status(study)) == []
    assert STAGE.loads(study, Setting(8, 12, Resources(1, 1, 2**30, 50.0), Rates())) is None
    STAGE.run(run_of(study))
    STAGE.check(study, StudyImages(study), ["measures", "relate"])
    with pytest.raises(InputError, match="the study names no further measures; add `measures:` with any of "):
        STAGE.check(study, StudyImages(study), ["measures"])


def test_measures_go_layer_by_layer_and_into_the_tables(tmp_path):
    study = study_of(tmp_path, measures=[WORD])
    assert list(STAGE.status(study)) == [("fc2", 0, 1), ("fc1", 0, 1)]
    study.run(stages=["distances", "measures"])
    assert list(STAGE.status(study)) == [("fc2", 1, 1), ("fc1", 1, 1)]
    table = tidy_table(study.store)
    assert len(table) == 2 * N_TARGETS
    assert table["treves_rolls"].between(0, 1).all()
    assert not set(tidy_table(study.store, measures=[])) & {"treves_rolls", "hoyer"}
    assert study.results()["measures"][WORD]["hoyer"].sel(layer="fc1").shape == (20,)
    assert STAGE.missing(run_of(study), "fc2") == []


def test_a_measure_that_fails_stops_no_other_and_is_tried_again(tmp_path):
    study = study_of(tmp_path, measures=[WORD, "pixels"])  # there are no files
    study.run(stages=["measures"])
    (failure,) = [one for one in study.status() if one.failed]
    assert (failure.stage, failure.layer, failure.n_done, failure.n_tasks) == ("measures", "", 0, 1)
    assert "targets/1.jpg" in failure.failed
    assert STAGE.missing(run_of(study), "fc2") == []
    assert STAGE.missing(run_of(study), "") == ["pixels"]
    assert [row.failed for row in study.model_copy(update={"measures": study.measures[:1]}).status()] == [""] * 9


def test_pixels_are_measured_of_images_whose_activations_others_made(tmp_path):
    rng = np.random.default_rng(3)
    (tmp_path / "photos").mkdir()
    photos = [rng.integers(0, 255, (24, 32, 3), np.uint8) for _ in range(4)]
    for number, photo in enumerate(photos, start=1):
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), photo[..., ::-1])
    np.save(tmp_path / "fc7.npy", rng.random((4, 5), np.float32))
    (tmp_path / "names.txt").write_text("".join(f"{number}.png\n" for number in range(1, 5)))
    content = {
        "store": "s.zarr",
        "images": {"targets": "photos"},
        "activations": {"layers": {"fc7": "fc7.npy"}, "names": "names.txt"},
        "measures": ["pixels"],
    }
    study = Study.from_dict(content, base=tmp_path)
    study.run(stages=["extract", "measures"], client=None)
    table = tidy_table(study.store).set_index("image")
    names = [column.name for column in Pixels.columns]
    for number, photo in enumerate(photos, start=1):
        assert table.loc[f"targets/{number}", names].tolist() == Pixels().of_image(photo)


def test_too_few_images_for_a_measure_are_said_before_any_work(tmp_path):
    study = study_of(tmp_path, measures=["autoencoder", "density"])
    images = SimpleNamespace(counts=(3, 4))
    with pytest.raises(
        InputError, match=r"measure autoencoder: 100 hidden units leave .* of 7 images; .*; measure density: 10 "
    ):
        STAGE.check(study, images, ["extract", "measures"])
    STAGE.check(study, images, ["measures"])


def test_the_plan_counts_a_pass_over_every_layer(tmp_path):
    study = study_of(tmp_path, measures=[WORD, "pixels"])
    loads = STAGE.loads(study, Setting(8, 12, Resources(1, 1, 2**30, 50.0), Rates()))
    assert [chain[0].layer for chain in loads.chains] == ["", "fc2", "fc1"]
    assert [chain[0].moved_nbytes for chain in loads.chains[1:]] == [4 * 20 * 30, 4 * 20 * 20]


def test_results_open_and_are_one_netcdf_file(tmp_path):
    import xarray as xr

    from distspc.results.netcdf import to_netcdf

    study = study_of(tmp_path, measures=[WORD, "typicality"])
    study.run(stages=["measures"])
    with xr.open_datatree(to_netcdf(study.store, tmp_path / "r.nc"), engine="h5netcdf") as tree:
        found = tree[f"measures/{WORD}"]["activation_entropy"]
        assert found.attrs["units"] == "nat"
        assert found.sel(layer="fc2").shape == (20,)
        assert set(tree["measures/typicality"].data_vars) == {
            *("typicality", "typicality_category", "centroid_similarity")
        }
