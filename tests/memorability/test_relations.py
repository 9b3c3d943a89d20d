"""Correlations of tables, scores and their images, the relate stage."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import distspc
from distspc import layers
from distspc.errors import InputError
from distspc.memorability import relations
from distspc.results import measures, netcdf, stored_tables
from distspc.store import notices
from distspc.store.store import Store
from distspc.testing import stores
from tests.memorability.shared import LAYERS, N_FILLERS, N_TARGETS, frame_of, written


def test_columns_and_values():
    frame = frame_of()
    table = distspc.correlate(frame, measures=["m1", "m2"], score="corrected_hit", n_bootstrap=200)
    assert list(table.columns[:8]) == ["measure", "given", "method", "n", "r", "ci_low", "ci_high", "p"]
    assert list(table["measure"]) == ["m1", "m2"]
    np.testing.assert_allclose(table["r"], [stats.pearsonr(frame[m], frame["corrected_hit"])[0] for m in ("m1", "m2")])
    assert (table["ci_low"] < table["r"]).all()
    assert (table["r"] < table["ci_high"]).all()


def test_interval_and_p_are_those_of_a_plain_loop():
    frame = frame_of()
    row = distspc.correlate(frame, ["m1"], n_bootstrap=300, random_state=7).iloc[0]
    x, y, rng, draws = frame["m1"].to_numpy(), frame["corrected_hit"].to_numpy(), np.random.default_rng(7), []
    for _ in range(300):
        picked = rng.integers(0, len(x), len(x))
        draws.append(stats.pearsonr(x[picked], y[picked])[0])
    np.testing.assert_allclose([row["ci_low"], row["ci_high"]], np.percentile(draws, [2.5, 97.5]))
    assert row["p"] == 2 * min(np.mean(np.array(draws) < 0), np.mean(np.array(draws) > 0))


def test_a_result_does_not_depend_on_its_company():
    frame = frame_of()
    frame.loc[:4, "m3"] = np.nan
    alone = distspc.correlate(frame, ["m2"], n_bootstrap=100)
    together = distspc.correlate(frame, ["m3", "m2", "m1"], ["hit", "corrected_hit"], n_bootstrap=100)
    row = together[(together["measure"] == "m2") & (together["score"] == "corrected_hit")]
    for name in ("r", "ci_low", "ci_high", "p", "p_t"):
        np.testing.assert_allclose(alone[name], row[name])


def test_missing_values_are_left_out_pairwise_and_counted():
    frame = frame_of()
    frame.loc[[0, 1], "m1"] = np.nan
    frame.loc[[1, 2, 3], "corrected_hit"] = np.nan
    frame.loc[[10], "m3"] = np.nan
    table = distspc.correlate(frame, ["m1", "m2"], given=["m3"], n_bootstrap=50).set_index("measure")
    assert list(table["n"]) == [55, 56]
    assert list(table["n_missing"]) == [5, 4]
    kept = frame[["m1", "corrected_hit", "m3"]].dropna()
    expected = distspc.correlate(kept, ["m1"], given="m3", n_bootstrap=50).iloc[0]
    np.testing.assert_allclose(table.loc["m1", "r"], expected["r"])


def test_holm_counts_all_rows_of_the_table():
    table = distspc.correlate(frame_of(), ["m0", "m1", "m2"], ["hit", "corrected_hit"], n_bootstrap=50)
    assert (table["n_tests"] == 6).all()
    smallest = table["p_t"].idxmin()
    assert table.loc[smallest, "p_holm"] == pytest.approx(6 * table.loc[smallest, "p_t"])


def test_bca_and_spearman_on_request():
    frame = frame_of()
    plain = distspc.correlate(frame, ["m2"], method="spearman", n_bootstrap=400).iloc[0]
    bca = distspc.correlate(frame, ["m2"], method="spearman", n_bootstrap=400, interval="bca").iloc[0]
    assert plain["r"] == bca["r"] == pytest.approx(stats.spearmanr(frame["m2"], frame["corrected_hit"])[0])
    assert plain["ci_low"] != bca["ci_low"]
    assert bca["ci_low"] < bca["r"] < bca["ci_high"]


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, {"measures": ["m9"]}, "no column 'm9'; there are corrected_hit, hit, m0"),
        ({"m1": "a"}, {"measures": ["m1"]}, "column 'm1' holds .* not numbers"),
        ({"m1": np.inf}, {"measures": ["m1"]}, "m1 has infinite values"),
        ({"m1": 3.0}, {"measures": ["m1", "m2"]}, "m1 is 3 for all, 60 images"),
        ({"m1": np.nan}, {"measures": ["m1"]}, "only 0 of 60 images have all values"),
        ({}, {"measures": ["m1"], "method": "kendall"}, "method 'kendall' is not one of pearson, spearman"),
        ({}, {"measures": ["m1"], "interval": "t"}, "interval 't' is not one of percentile, bca"),
        ({}, {"measures": ["m1"], "n_bootstrap": 0}, "n_bootstrap is 0"),
        ({}, {"measures": []}, "at least one measure"),
        ({}, {"measures": ["m1", "m1"]}, "the measures name m1 more than once"),
        ({}, {"measures": ["m1"], "given": ["m1"]}, "m1: a column can be only one"),
        ({}, {"measures": ["m1"], "score": "m1"}, "m1: a column can be only one"),
    ],
)
def test_what_cannot_be_correlated_is_named(change, arguments, message):
    with pytest.raises(InputError, match=message):
        distspc.correlate(frame_of().assign(**change), **arguments)


def test_tidy_table_has_a_row_per_target_and_layer(store):
    table = distspc.tidy_table(store)
    assert len(table) == N_TARGETS * len(LAYERS)
    assert list(table.columns[:6]) == [
        "image", "file", "layer", "neighbour", "distinctiveness", "reconstruction_error",
    ]  # fmt: skip
    second = table[table["layer"] == "fc2"].reset_index(drop=True)
    np.testing.assert_array_equal(second["distinctiveness"], Store(store).distances.read("distance")[1, :, 0])
    errors = Store(store).reconstruction.read("error")[1, :, :N_TARGETS]
    np.testing.assert_allclose(second["reconstruction_error"], errors.mean(axis=0))
    np.testing.assert_allclose(second["reconstruction_error_sd"], errors.std(axis=0, ddof=1))
    ids = np.array(stores.image_ids(N_TARGETS, N_FILLERS))
    nearest = Store(store).distances.read("neighbour_index")[1, :, 0]
    assert list(second["neighbour"]) == list(ids[nearest])
    assert list(second["norm"]) == list(Store(store).distances.read("norm")[1, :N_TARGETS])


def test_tidy_table_of_what_is_there(tmp_path):
    path = tmp_path / "study.zarr"
    with pytest.raises(InputError, match="holds no images yet: run `distspc extract`"):
        distspc.tidy_table(path)
    ids = stores.image_ids(4, 2)
    stores.write_image_table(path, ids, 4)
    assert distspc.tidy_table(path).empty
    coords = {"layer": ["fc1"], "target": ids[:4], "image": ids, "neighbour": 1}
    Store(path).distances.allocate(coords=coords, chunks={}, recipe={})
    table = distspc.tidy_table(path)
    assert table["distinctiveness"].isna().all()
    assert list(table["neighbour"]) == [""] * 4


def test_layers_go_from_the_image_upward():
    assert layers.layer_order(["fc2", "mine", "flatten", "block5_pool", "block1_conv2", "fc1", "block1_pool"]) == [
        "block1_conv2", "block1_pool", "block5_pool", "flatten", "fc1", "fc2", "mine",
    ]  # fmt: skip


def test_relate_keeps_its_tables_in_the_store(store, scores_file):
    found = relations.relate(
        store, scores_file=scores_file, image_column="im_ind", n_bootstrap=50, score_reliability={"hit": 0.64}
    )
    pd.testing.assert_frame_equal(
        stored_tables.read_table_of(Store(store).relations),
        found.drop(columns="interval"),
        check_dtype=False,
        check_column_type=False,
        check_like=True,
    )
    assert set(found["score"]) == {"hit", "fa", "corrected_hit"}
    plain = found[(found["given"] == "") & (found["method"] == "pearson")]
    assert len(plain) == 3 * 2 * 3  # measures, layers, scores
    row = plain[(plain["measure"] == "norm") & (plain["layer"] == "fc2") & (plain["score"] == "hit")].iloc[0]
    tidy = distspc.tidy_table(store)
    part = tidy[tidy["layer"] == "fc2"]
    assert row["r"] == pytest.approx(stats.pearsonr(part["norm"], part["hit"])[0])
    assert row["ceiling"] == pytest.approx(0.8)
    assert set(stored_tables.read_table_of(Store(store).models)["layer"]) == {"block5_pool", "fc2", "all"}
    assert len(stored_tables.read_table_of(Store(store).comparisons)) == 2 * 3
    assert Store(store).scores.attributes["key"] == "stem"


def test_partial_correlations_within_a_layer_and_across(store, scores_file):
    found = relations.relate(
        store, scores_file=scores_file, image_column="im_ind", columns=["hit"], n_bootstrap=50,
        given=["distinctiveness:block5_pool"], methods=["pearson"],
    )  # fmt: skip
    tidy = measures.flat_table(measures.wide_table(distspc.tidy_table(store))).assign(
        hit=pd.read_csv(scores_file)["hit"].to_numpy()
    )
    for measure in ("reconstruction_error:fc2", "distinctiveness:fc2"):
        name, layer = measure.split(":")
        row = found[(found["measure"] == name) & (found["layer"] == layer)]
        row = row[row["given"] == "distinctiveness:block5_pool"].iloc[0]
        expected = distspc.correlate(tidy, [measure], "hit", ["distinctiveness:block5_pool"], n_bootstrap=50).iloc[0]
        np.testing.assert_allclose([row["r"], row["ci_low"]], [expected["r"], expected["ci_low"]])
    assert not found.duplicated(["layer", "measure", "given", "score", "method"]).any()
    assert (found["given"] == "norm:fc2").sum() == 2


def test_relate_again_replaces_the_tables(store, scores_file):
    relations.relate(store, scores_file=scores_file, image_column="im_ind", columns=["hit"], n_bootstrap=20)
    found = relations.relate(
        store, scores_file=scores_file, image_column="im_ind", columns=["fa"], n_bootstrap=20, recipe={"a": 1}
    )
    assert set(stored_tables.read_table_of(Store(store).relations)["score"]) == set(found["score"]) == {"fa"}
    assert Store(store).relations.attributes["recipe"] == {"a": 1}
    assert list(distspc.tidy_table(store).columns[-1:]) == ["fa"]


def test_a_measure_that_is_the_same_everywhere_is_left_out(store, scores_file, caplog):
    Store(store).distances.write("distance", np.zeros((1, N_TARGETS, 1)), layer=slice(0, 1))
    found = relations.relate(store, scores_file=scores_file, image_column="im_ind", columns=["hit"], n_bootstrap=20)
    assert "the same for all images, left out: distinctiveness:block5_pool" in caplog.text
    here = found[(found["layer"] == "block5_pool")]
    assert "distinctiveness" not in set(here["measure"])


def test_what_stops_relate(store, scores_file, tmp_path):
    with pytest.raises(InputError, match=r"no measure distinctiveness:fc1 to control for"):
        relations.relate(store, scores_file=scores_file, image_column="im_ind", given=["distinctiveness:fc1"])
    other = written(tmp_path, "im_ind,hit\n901,0.5\n902,0.6\n", "other.csv")
    with pytest.raises(InputError, match="nothing in common: column 'im_ind' holds 901, 902; the images are number 1"):
        relations.relate(store, scores_file=other, image_column="im_ind")
    empty = tmp_path / "empty.zarr"
    stores.write_image_table(empty, stores.image_ids(3, 1), 3)
    with pytest.raises(InputError, match="holds no measures yet"):
        relations.relate(empty, scores_file=scores_file, image_column="im_ind")


def test_the_share_of_undefined_resamples_is_kept_and_above_a_twentieth_there_is_no_interval(caplog):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"m": rng.normal(size=12), "rare": [1.0] + [0.0] * 11, "score": rng.normal(size=12)})
    found = distspc.correlate(frame, ["m", "rare"], "score").set_index("measure")
    assert found.loc["rare", "undefined"] == pytest.approx((11 / 12) ** 12, abs=0.04)
    assert found.loc["rare", ["ci_low", "ci_high", "p"]].isna().all()
    assert np.isfinite(found.loc["rare", ["r", "p_t"]].astype(float)).all()
    assert found.loc["m", "undefined"] == 0
    assert found.loc["m", ["ci_low", "ci_high", "p"]].notna().all()
    assert "1 of 2 correlations has no 95 % CI and no bootstrap p" in caplog.text
    compared = distspc.compare_correlations(frame, "m", "rare", "score").iloc[0]
    assert compared["undefined"] == found.loc["rare", "undefined"]
    assert np.isnan(compared["ci_low"])


def test_few_undefined_resamples_are_left_out_and_counted():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"some": [1.0] * 4 + [0.0] * 26, "score": rng.normal(size=30)})
    for interval in ("percentile", "bca"):
        found = distspc.correlate(frame, ["some"], "score", interval=interval).iloc[0]
        assert 0 < found["undefined"] < 0.05
        assert found["ci_low"] < found["r"] < found["ci_high"]


@pytest.mark.parametrize("values", [[0.3, 0.1 + 0.2], [0.0, 0.3 - 0.1 - 0.2], [1e9, 1e9 + 1e-6]])
def test_constant_but_for_rounding_is_constant(values):
    frame = frame_of(20).assign(m1=values * 10)
    with pytest.raises(InputError, match="constant columns have no correlation"):
        distspc.correlate(frame, ["m1", "m2"])


def test_undefined_resamples_are_kept_as_a_notice(store, scores_file, tmp_path):
    table = pd.read_csv(scores_file)[["im_ind"]].assign(rare=[1.0] + [0.0] * (N_TARGETS - 1))
    table.to_csv(scores_file, index=False)
    relations.relate(store, scores_file=scores_file, image_column="im_ind", n_bootstrap=200)
    told = [notice.text for notice in notices.stored_notices([Store(store).relations]) if notice.warning]
    assert any("no bootstrap p" in sentence and "with rare" in sentence for sentence in told)
    assert (stored_tables.read_table_of(Store(store).relations)["undefined"] > 0.2).all()
    page = distspc.write_report(store, tmp_path / "report.html").read_text("utf-8")
    assert "no 95\N{NO-BREAK SPACE}%\N{NO-BREAK SPACE}CI" in page


def test_netcdf_holds_the_results_without_activations(store, scores_file, tmp_path):
    pytest.importorskip("h5netcdf")
    import xarray as xr

    stores.write_activations(store, "fc2", np.ones((40, 3), np.float32), stores.image_ids(N_TARGETS, N_FILLERS))
    relations.relate(store, scores_file=scores_file, image_column="im_ind", columns=["hit"], n_bootstrap=20)
    path = netcdf.to_netcdf(store, tmp_path / "out" / "results.nc")
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        assert "activations" not in tree
        distance = tree["distances/distance"]
        assert distance.attrs == {"long_name": "distance to the k-th nearest neighbour", "units": "activation"}
        np.testing.assert_array_equal(distance, Store(store).distances.read("distance"))
        assert list(tree["relations"]["measure"].values[:1]) == ["distinctiveness"]
        assert "recipe" in tree["distances"].attrs


def reference_folder():
    named = os.environ.get("DISTSPC_REFERENCE_DATA")
    for folder in (Path(named) if named else None, Path(__file__).parents[3] / "shared" / "data" / "isola"):
        if folder is not None and (folder / "target_info_IsolaEtAl.csv").exists():
            return folder
    pytest.skip("the authors' published files are not here: name their folder in DISTSPC_REFERENCE_DATA")


def test_the_published_figures_come_out():
    folder = reference_folder()
    frame = pd.read_csv(folder / "target_info_IsolaEtAl.csv").set_index("im_ind")
    nearest = pd.read_csv(folder / "block5_pool_NN.csv", header=None, names=["target", "neighbour", "distance"])
    frame["distance"] = nearest.set_index("target")["distance"]
    frame["error"] = np.load(folder / "fc2_spc_rec_quality.npy")[:, 0]
    plain = distspc.correlate(frame, ["distance", "error"])
    partial = distspc.correlate(frame, ["error"], given=["distance"])
    table = pd.concat([plain, partial])[["n", "r", "ci_low", "ci_high"]].round(2)
    assert table.to_numpy().tolist() == [[2222, 0.36, 0.32, 0.4], [2222, 0.29, 0.26, 0.33], [2222, 0.16, 0.11, 0.2]]
    assert (plain["p"] == 0).all()


def test_the_example_prints_them():
    folder, root = reference_folder(), Path(__file__).parents[2]
    script = [sys.executable, str(root / "examples" / "reproduce_published.py"), str(folder)]
    found = subprocess.run(script, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("True") == 3
