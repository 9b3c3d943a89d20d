"""Tests of: relate the measures of one table to the scores of another; no study or store is needed."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import distspc
from distspc.errors import InputError
from distspc.memorability import relations, two_tables
from distspc.memorability.two_tables import relate_tables
from distspc.results import measures, stored_tables
from distspc.store.store import Store
from tests.memorability.shared import N_TARGETS, frame_of, written


def test_anybodys_tables(tmp_path):
    frame = frame_of(40).rename(columns={"hit": "memory"}).assign(picture=[f"p{i:02d}" for i in range(40)])
    frame[["picture", "m1", "m2"]].to_csv(tmp_path / "measures.csv", index=False)
    frame[["memory", "picture"]][::-1].iloc[:30].to_csv(tmp_path / "scores.csv", index=False)
    found = two_tables.relate_tables(tmp_path / "measures.csv", tmp_path / "scores.csv", by="picture", n_bootstrap=50)
    expected = distspc.correlate(frame.iloc[10:], ["m1", "m2"], "memory", n_bootstrap=50)
    np.testing.assert_allclose(found["r"], expected["r"])
    assert found.attrs[f"only in measures {tmp_path / 'measures.csv'}"] == [f"p{i:02d}" for i in range(10)]


def test_an_exported_table_is_taken_layer_by_layer(store, scores_file, tmp_path):
    related = relations.relate(store, scores_file=scores_file, image_column="im_ind", columns=["hit"], n_bootstrap=30)
    tidy = distspc.tidy_table(store)
    tidy["number"] = tidy["image"].str.split("/").str[1]
    tidy.to_csv(tmp_path / "results.csv", index=False)
    found = two_tables.relate_tables(
        tmp_path / "results.csv", scores_file, by="number=im_ind", scores=["hit"], n_bootstrap=30,
        measures=["distinctiveness", "norm:fc2"],
    )  # fmt: skip
    assert list(found["measure"]) == ["distinctiveness:block5_pool", "distinctiveness:fc2", "norm:fc2"]
    row = related[(related["measure"] == "norm") & (related["layer"] == "fc2") & (related["score"] == "hit")].iloc[0]
    assert found.iloc[2]["r"] == pytest.approx(row["r"])
    everything = two_tables.relate_tables(tmp_path / "results.csv", scores_file, by="number=im_ind", n_bootstrap=30)
    assert not everything["measure"].str.startswith("hit").any()


@pytest.mark.parametrize(
    ("measures", "arguments", "message"),
    [
        ("id,m\na,1\nb,2\n", {"by": "picture"}, "no column picture; it has id, m"),
        ("id,m\nq,1\nr,2\n", {"by": "id"}, "no image is in both tables"),
        ("id,m\na,1\nb,x\nc,1\nd,1\n", {"by": "id", "measures": ["m"]}, "not a number: 'x' for b"),
        ("id,m\na,1\na,2\n", {"by": "id"}, "occurs more than once: a .in line 2, in line 3."),
        ("id,m\na,1\nb,2\n", {"by": "id", "measures": ["z"]}, "no column z"),
        ("id,m\na,1\nb,2\nc,4\n", {"by": "id"}, "only 3 of 3 images have all values; at least 4"),
        ("id,t\na,u\n", {"by": "id"}, "no column of numbers"),
        ("id,layer,m\na,fc1,1\na,fc1,2\n", {"by": "id"}, "duplicate image and layer in line 3"),
    ],
)
def test_tables_that_cannot_be_related(tmp_path, measures, arguments, message):
    path = written(tmp_path, measures, "measures.csv")
    other = written(tmp_path, "id,hit\na,0.1\nb,0.5\nc,0.3\n")
    with pytest.raises(InputError, match=message):
        two_tables.relate_tables(path, other, **arguments)


def rated(tmp_path, score, name="scores.csv", measure="dist", **columns):
    """Two tables of 40 images: a measure, and a score of this name."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"image": [f"p{i:02d}" for i in range(40)], measure: rng.normal(size=40)})
    frame.to_csv(tmp_path / "measures.csv", index=False)
    other = pd.DataFrame({"image": frame["image"], score: frame[measure] + rng.normal(size=40)}).assign(**columns)
    other.to_csv(tmp_path / name, index=False)
    expected = stats.pearsonr(frame[measure], other[score])[0]
    return {"measures_file": tmp_path / "measures.csv", "scores_file": tmp_path / name}, expected


def test_a_constant_column_that_nobody_named_is_left_out(tmp_path):
    files, r = rated(tmp_path, "mem", n=80, tenth=[0.3, 0.1 + 0.2] * 20)
    found = two_tables.relate_tables(**files, by="image", n_bootstrap=20)
    assert list(found["score"]) == ["mem"]
    assert found["r"][0] == pytest.approx(r)
    assert found["n_tests"][0] == 1
    assert any("the same for all images, or without values: column n, tenth" in s for s in found.attrs["notices"])
    for name in ("n", "tenth"):
        with pytest.raises(InputError, match=f"constant columns .*{name} is"):
            two_tables.relate_tables(**files, by="image", scores=[name], n_bootstrap=20)


@pytest.mark.parametrize(("n_known", "taken"), [(0, False), (3, False), (4, True)])
def test_a_column_of_too_few_values_that_nobody_named_is_left_out(tmp_path, n_known, taken):
    few = np.where(np.arange(40) < n_known, np.arange(40.0), np.nan)
    files, _ = rated(tmp_path, "mem", few=few)
    found = two_tables.relate_tables(**files, by="image", n_bootstrap=20)
    assert list(found["score"]) == (["mem", "few"] if taken else ["mem"])
    said = [sentence for sentence in found.attrs["notices"] if "left out" in sentence and "few" in sentence]
    assert len(said) == (not taken)


def test_a_measure_and_a_score_may_have_one_name(tmp_path):
    files, r = rated(tmp_path, "distinctiveness", measure="distinctiveness")
    for names in ({}, {"measures": "distinctiveness", "scores": "distinctiveness"}):
        found = two_tables.relate_tables(**files, by="image", n_bootstrap=20, **names)
        assert found[["measure", "score"]].to_numpy().tolist() == [["distinctiveness", "distinctiveness"]]
        assert found["r"][0] == pytest.approx(r)


def test_row_numbers_of_pandas_are_no_measure_and_no_score(tmp_path):
    files, r = rated(tmp_path, "mem")
    plain = two_tables.relate_tables(**files, by="image", n_bootstrap=20)
    for file in files.values():
        pd.read_csv(file).to_csv(file)
    found = two_tables.relate_tables(**files, by="image", n_bootstrap=20)
    pd.testing.assert_frame_equal(found, plain)
    assert found["r"][0] == pytest.approx(r)
    assert sum("row numbers: column without a name" in sentence for sentence in found.attrs["notices"]) == 2


NAMES = ["distinctiveness", "norm", "reconstruction_error", "file", "neighbour", "layer", "image"]


def test_scores_called_as_measures_have_names_of_their_own(store, scores_file, tmp_path):
    rng = np.random.default_rng(5)
    table = pd.read_csv(scores_file)[["im_ind", "hit"]].assign(**{name: rng.random(N_TARGETS) for name in NAMES})
    table.to_csv(scores_file, index=False)
    tidy = measures.wide_table(distspc.tidy_table(store))
    found = relations.relate(store, scores_file=scores_file, image_column="im_ind", n_bootstrap=20)
    assert set(found["score"]) == {"hit", *NAMES}
    plain = found[(found["given"] == "") & (found["method"] == "pearson") & (found["layer"] == "fc2")]
    for row in plain.itertuples():
        expected = stats.pearsonr(tidy[row.measure, "fc2"], table[row.score])[0]
        assert row.r == pytest.approx(expected), (row.measure, row.score)
    assert set(stored_tables.read_table_of(Store(store).models)["score"]) == {"hit", *NAMES}
    assert set(stored_tables.read_table_of(Store(store).comparisons)["score"]) == {"hit", *NAMES}
    after = distspc.tidy_table(store)
    pd.testing.assert_frame_equal(measures.wide_table(after), tidy)
    assert list(after.columns[-8:]) == ["hit", *(f"score:{name}" for name in NAMES)]
    # pandas before 3.1 reads decimals to 1e-16
    np.testing.assert_allclose(after["score:norm"][:N_TARGETS], table["norm"], rtol=1e-12)
    distspc.write_report(store, tmp_path / "report.html")
    after.to_csv(tmp_path / "results.csv", index=False)  # as an export has it: no score of it is a measure
    again = two_tables.relate_tables(
        tmp_path / "results.csv", scores_file, by="image=im_ind", scores=["norm"], n_bootstrap=20
    )
    assert {name.split(":")[0] for name in again["measure"]} == {*plain["measure"], "reconstruction_error_sd"}


def test_one_table_of_measures_and_scores(tmp_path):
    frame = frame_of(40)[["m1", "m2", "hit"]].assign(image=[f"p{i:02d}" for i in range(40)])
    frame.to_csv(tmp_path / "all.csv", index=False)
    files = {"measures_file": tmp_path / "all.csv", "scores_file": tmp_path / "all.csv"}
    found = two_tables.relate_tables(**files, by="image", scores="hit", n_bootstrap=20)
    assert list(found["measure"]) == ["m1", "m2"]
    assert any("they are the scores: column hit" in sentence for sentence in found.attrs["notices"])
    with pytest.raises(InputError, match="its columns of numbers are the scores themselves"):
        two_tables.relate_tables(**files, by="image", n_bootstrap=20)


@pytest.mark.parametrize("name", ["{i}", "pic{i}", "pic{i}.png", "T/pic{i}.png", "./T/pic{i}.png", "T\\pic{i}.png"])
def test_results_of_a_study_join_its_scores_whatever_these_call_an_image(tmp_path, name):
    n, rng = 12, np.random.default_rng(0)
    measure, score = rng.normal(size=(2, n))
    images = range(1, n + 1)
    results = pd.DataFrame(
        {"image": [f"targets/pic{i}" for i in images], "file": [f"/data/T/pic{i}.png" for i in images], "layer": "fc2"}
    )
    results.assign(distinctiveness=measure).to_csv(tmp_path / "results.csv", index=False)
    rows = pd.DataFrame({"image": [name.format(i=i) for i in images], "mem": score}).sample(frac=1, random_state=1)
    rows.to_csv(tmp_path / "scores.csv", index=False)
    found = relate_tables(tmp_path / "results.csv", tmp_path / "scores.csv", by="image", n_bootstrap=20)
    assert found["n"].tolist() == [n]
    assert found["r"].item() == pytest.approx(np.corrcoef(measure, score)[0, 1])


def tables_with_labels(tmp_path, n=60):
    rng = np.random.default_rng(0)
    frame = frame_of(n).assign(image=[f"p{i}" for i in range(n)], kind=rng.choice(["a", "b", "c"], n))
    frame = frame.assign(arousal=rng.normal(size=n), edges=rng.normal(size=n))
    frame[["image", "m1", "m2", "kind", "edges"]].to_csv(tmp_path / "measures.csv", index=False)
    frame[["image", "hit", "arousal"]].to_csv(tmp_path / "scores.csv", index=False)
    return frame


def test_controls_and_categories_may_stand_in_either_table(tmp_path):
    frame = tables_with_labels(tmp_path)
    found = two_tables.relate_tables(
        tmp_path / "measures.csv", tmp_path / "scores.csv", by="image", control=["kind", "arousal", "edges"],
        within="kind", test="permutation", n_permutations=99, n_bootstrap=40,
    )  # fmt: skip
    assert list(found["measure"]) == ["m1", "m2"]
    assert set(found["score"]) == {"hit"}
    expected = distspc.correlate(frame, ["m1", "m2"], "hit", ["kind", "arousal", "edges"], n_bootstrap=40)
    np.testing.assert_allclose(found["r"], expected["r"])
    assert (found["p_permutation"] * 100 >= 0.99).all()
    within = found.attrs["within"]
    part = frame[frame["kind"] == "b"]
    row = within[(within["category"] == "b") & (within["measure"] == "m2")].iloc[0]
    assert row["r"] == pytest.approx(part["m2"].corr(part["hit"]))
    assert found.attrs["within_mean"]["n_categories"].tolist() == [3, 3]
    assert set(found.attrs["mixed"]["given"]) == {"arousal, edges"}


def test_a_control_that_neither_table_has_is_named(tmp_path):
    tables_with_labels(tmp_path)
    with pytest.raises(InputError, match=r"`--control` names 'knd': no such column; did you mean 'kind'"):
        two_tables.relate_tables(tmp_path / "measures.csv", tmp_path / "scores.csv", by="image", control="knd")
