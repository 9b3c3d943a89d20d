"""Layers that were given back and are needed again: refused with their cost, made again where this is asked for."""

import shutil

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.pipeline.given_back import cost_again
from distspc.pipeline.run import run_stages
from distspc.study.images import StudyImages
from tests.pipeline.imported_study import LAYERS, MEASURING, N_FILLERS, N_TARGETS, make_study, write_activations


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    root = tmp_path_factory.mktemp("finished")
    write_activations(root)
    make_study(root).run(stages=MEASURING)
    return root


@pytest.fixture
def cleaned(reference, tmp_path):
    """A finished study of which two layers were given back."""
    shutil.copytree(reference / "s.zarr", tmp_path / "s.zarr")
    study = make_study(reference, store=tmp_path / "s.zarr", report=str(tmp_path / "r.html"))
    study.clean(activations=["fc2", "block5_pool"])
    return study


def in_process(stage):
    return None


def measure(study, connect=in_process, **options):
    """Run the stages that read activations; returns the outcome."""
    return run_stages(study, connect, stages=MEASURING, **options)


def refuse(stage):
    raise AssertionError(f"{stage} was to compute")


def with_seeds(study, *seeds):
    return study.model_copy(update={"reconstruction": study.reconstruction.model_copy(update={"seeds": seeds})})


def test_another_seed_says_what_it_needs_and_what_that_costs(cleaned):
    more = with_seeds(cleaned, 0, 1)
    (row,) = [row for row in more.status() if (row.stage, row.layer) == ("reconstruct", "fc2")]
    assert "needs its activations, given back" in row.note
    with pytest.raises(
        InputError,
        match=r"reconstruct needs the activations of fc2, block5_pool, which were given back .*`distspc run STUDY.yaml "
        r"--extract-again` makes them again: they come from .*Activations/fc2, .*Activations/block5_pool$",
    ):
        measure(more, refuse)


def test_another_seed_takes_them_again_where_this_is_asked_for(cleaned, reference, tmp_path):
    done = measure(with_seeds(cleaned, 0, 1), extract_again=True)
    assert done.computed["import activations"] == 2
    assert done.computed["reconstruct"] == 3
    fresh = with_seeds(make_study(reference, store=tmp_path / "fresh.zarr", report=str(tmp_path / "f.html")), 0, 1)
    measure(fresh)
    for name in ("distances", "reconstruction"):
        ours, theirs = cleaned.results()[name].to_dataset(), fresh.results()[name].to_dataset()
        assert ours.identical(theirs.assign_attrs(ours.attrs))
    for layer in LAYERS:
        group = cleaned.stored.layer(layer)
        assert "given_back" not in group.attributes
        np.testing.assert_array_equal(group.read("activation"), fresh.stored.layer(layer).read("activation"))


def test_only_what_is_needed_is_made_again(cleaned):
    assert measure(cleaned, refuse, extract_again=True).computed == {}
    shutil.rmtree(cleaned.store / "reconstruction/error/c/0")  # of fc2
    with pytest.raises(InputError, match="reconstruct needs the activations of fc2, which"):
        measure(cleaned, refuse)
    measure(cleaned, extract_again=True)
    assert not cleaned.stored.layer("fc2").given_back
    assert cleaned.stored.layer("block5_pool").given_back


def test_a_stage_is_not_thrown_away_that_could_not_be_made_again(cleaned):
    with pytest.raises(InputError, match=r"distances needs .* `distspc extract STUDY.yaml --extract-again`"):
        run_stages(cleaned, refuse, stages=["distances"], redo=True)
    assert cleaned.stored.distances.exists()
    with pytest.raises(InputError, match="goes with `distspc run` and `distspc extract`"):
        run_stages(cleaned, refuse, stages=["distances"], redo=True, extract_again=True)
    run_stages(cleaned, in_process, stages=["extract"], extract_again=True)
    assert not any(cleaned.stored.layer(layer).given_back for layer in LAYERS)
    assert run_stages(cleaned, in_process, stages=["distances"], redo=True).computed


def test_everything_made_anew_needs_no_leave(cleaned):
    done = measure(cleaned, redo=True)
    assert done.computed["import activations"] == len(LAYERS)
    assert not cleaned.stored.layer("fc2").given_back


def test_a_stop_in_the_middle_goes_on(cleaned):
    def stop(label, n_done, n_tasks):
        if label == "import activations" and n_done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(with_seeds(cleaned, 0, 1), extract_again=True, progress=stop)
    measure(with_seeds(cleaned, 0, 1), extract_again=True)
    assert all(row.complete for row in with_seeds(cleaned, 0, 1).status() if row.stage in MEASURING)


def test_moments_need_activations_too(reference, tmp_path):
    shutil.copytree(reference / "s.zarr", tmp_path / "s.zarr")
    plain = make_study(reference, store=tmp_path / "s.zarr", report=str(tmp_path / "r.html"))
    plain.clean(activations=["fc1"])
    for group in ("distances", "reconstruction"):
        plain.stored[group].remove()
    scaled = plain.model_copy(update={"scaling": "z-score"})
    with pytest.raises(InputError, match="extract needs the activations of fc1"):
        measure(scaled, refuse)


def test_the_cost_of_imported_activations_is_their_files(cleaned, tmp_path):
    images = StudyImages(cleaned)
    assert cost_again(cleaned, ["fc2"], images) == f"they come from {cleaned.activations.folder / 'fc2'}"
    moved = cleaned.activations.model_copy(update={"folder": tmp_path / "nowhere"})
    said = cost_again(cleaned.model_copy(update={"activations": moved}), ["fc2"], images)
    assert said.endswith("nowhere/fc2 is not there any more")


def test_a_readout_needs_activations_only_where_its_matrix_is_not_there(reference, tmp_path):
    shutil.copytree(reference / "s.zarr", tmp_path / "s.zarr")
    place = {"store": tmp_path / "s.zarr", "report": str(tmp_path / "r.html")}
    make_study(reference, **place).clean(activations=["fc2"])
    study = make_study(reference, **place, relate={"readout": True})
    with pytest.raises(InputError, match="readout needs the activations of fc2, which were given back"):
        measure(study, refuse)
    assert measure(study, extract_again=True).computed["readout"] == 3
    study.clean(activations=["fc2"])
    assert not measure(study, refuse).computed


def test_an_update_says_what_it_costs_where_known_images_have_no_activations(reference, tmp_path):
    shutil.copytree(reference, tmp_path, dirs_exist_ok=True)
    study = make_study(tmp_path)
    study.clean(activations=["fc2"])
    for layer in LAYERS:
        folder = tmp_path / "Activations" / layer / "Targets"
        shutil.copy(folder / "1.npy", folder / f"{N_TARGETS + 1}.npy")
    with pytest.raises(
        InputError, match=r"keeps no activations of fc2, .*--update --extract-again` .*: they come from"
    ):
        run_stages(study, refuse, update=True)
    run_stages(study, in_process, stages=MEASURING, update=True, extract_again=True)
    assert study.stored.layer("fc2").sizes["image"] == N_TARGETS + N_FILLERS + 1
    assert not study.stored.layer("fc2").given_back
