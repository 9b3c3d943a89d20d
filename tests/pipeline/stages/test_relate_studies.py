"""Studies that relate in several ways: scores from responses, in the store, the page and the tables."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from statsmodels.formula.api import ols

from distspc.errors import InputError
from distspc.memorability.options import RESPONSE_SCORES
from distspc.pipeline.check import check_study
from distspc.pipeline.run import Study, run_stages
from distspc.results.stored_tables import read_table_of
from distspc.results.tidy import tidy_table
from distspc.store.store import Store
from distspc.testing.stores import relu_activations

N_TARGETS, N_FILLERS, N_SUBJECTS = 36, 6, 20
CATEGORIES = ("animal", "food", "vehicle")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """An image table with categories, activations of one layer, and responses that distance has a part in."""
    root = tmp_path_factory.mktemp("study")
    rng, n = np.random.default_rng(0), N_TARGETS + N_FILLERS
    names = [f"im{chr(97 + i // 26)}{chr(97 + i % 26)}.png" for i in range(n)]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(root / name)
    roles = ["target"] * N_TARGETS + ["filler"] * N_FILLERS
    table = pd.DataFrame({"path": names, "role": roles, "category": [CATEGORIES[i % 3] for i in range(n)]})
    table.assign(arousal=rng.normal(size=n).round(3)).to_csv(root / "images.csv", index=False)
    values = relu_activations(n, 50)
    np.save(root / "fc2.npy", values)
    (root / "names.txt").write_text("\n".join(names) + "\n")
    far = pd.Series(np.linalg.norm(values - values.mean(axis=0), axis=1)).rank(pct=True).to_numpy()
    rows = [
        (f"s{s:02d}", names[i], old, int(rng.random() < (0.35 + 0.6 * far[i] if old else 0.05 + 0.6 * far[i])))
        for s in range(N_SUBJECTS) for i in range(n) for old in (1, 0)
    ]  # fmt: skip
    responses = pd.DataFrame(rows, columns=["participant", "stimulus", "repeat", "pressed"])
    responses.loc[[3, 80], "pressed"] = np.nan
    responses.astype({"pressed": "Int64"}).to_csv(root / "responses.csv", index=False)
    return root


TRIALS = {"trials": "responses.csv", "subject": "participant", "image": "stimulus", "old": "repeat",
          "response": "pressed"}  # fmt: skip


def make_study(root, folder, **changes):
    content = {
        "store": str(folder / "s.zarr"),
        "images": {"table": "images.csv"},
        "activations": {"file": "fc2.npy", "names": "names.txt"},
        "layers": ["fc2"],
        "scores": TRIALS,
        "reconstruction": {"units": 40, "codewords": 10, "solver": "pca"},
        "relate": {"bootstrap": 50},
        "report": str(folder / "r.html"),
        **changes,
    }
    return Study.from_dict(content, base=root)


@pytest.fixture(scope="module")
def finished(root, tmp_path_factory):
    study = make_study(root, tmp_path_factory.mktemp("finished"))
    study.run()
    return study


def no_resources(stage):
    raise InputError("nothing to run on")


def refuse(stage):
    raise AssertionError(f"a study that needs no cluster asked for one for {stage}")


def test_responses_become_scores_of_the_store_and_of_the_tidy_table(finished, root):
    table = tidy_table(finished.store).set_index("image")
    assert set(RESPONSE_SCORES) <= set(table.columns)
    responses = pd.read_csv(root / "responses.csv").dropna()
    name = table["file"].str.rsplit("/").str[-1]
    own = responses[responses["stimulus"] == name.iloc[4]]
    hit = own[own["repeat"] == 1]["pressed"].mean()
    assert table["hit"].iloc[4] == pytest.approx(hit)
    assert table["corrected_hit"].iloc[4] == pytest.approx(hit - own[own["repeat"] == 0]["pressed"].mean())
    assert set(table["n_responses"]) == {2 * N_SUBJECTS, 2 * N_SUBJECTS - 1}
    assert set(read_table_of(finished.stored.relations)["score"]) == {"hit", "fa", "corrected_hit", "dprime"}


def test_the_noise_ceiling_is_that_of_the_split_halves(finished):
    reliability = read_table_of(finished.stored["reliability"]).set_index("score")
    assert list(reliability.index) == ["hit", "fa", "corrected_hit", "dprime"]
    assert (reliability["n_subjects"] == N_SUBJECTS).all()
    assert (reliability["n_responses"] == 2 * N_SUBJECTS * N_TARGETS - 1).all()
    assert ((reliability["ci_low"] < reliability["reliability"]) & (reliability["reliability"] < 1)).all()
    relations = read_table_of(finished.stored.relations)
    rows = relations[(relations["measure"] == "distinctiveness") & (relations["given"] == "")]
    expected = np.sqrt(reliability.loc[rows["score"], "reliability"].clip(0).to_numpy())
    np.testing.assert_allclose(rows["ceiling"], expected)


def test_the_page_the_notices_and_check_say_what_scores_are_made_of(finished):
    page = finished.report.read_text("utf-8")
    for wanted in ("1,439 responses to the targets", "split-half reliability over 1,000 random halves",
                   "Reliability of the scores (4)", "2 of 1,680 rows have no response", "reliability.csv"):  # fmt: skip
        assert wanted in page, wanted
    assert (finished.report.parent / "tables" / "reliability.csv").exists()
    assert "6 images with responses name no target" in page
    assert "its noise ceiling is 0" in page  # hits and false alarms rise alike
    findings = check_study(finished, no_resources)
    texts = " ".join(finding.text for finding in findings)
    assert "1,678 responses of 20 subjects to 42 images, 39 to 40 for each" in texts
    assert "correlated: hit, fa, corrected_hit, dprime" in texts


def test_what_is_done_stays_and_other_columns_or_reliabilities_are_related_anew(finished):
    assert run_stages(finished, refuse).computed == {}
    other = finished.model_copy(
        update={"scores": finished.scores.model_copy(update={"columns": ("dprime",), "reliability": {"dprime": 0.5}})}
    )
    assert set(other.run(stages=["relate"]).to_dataframe().columns) >= {"dprime", "n_responses"}
    relations = read_table_of(other.stored.relations)
    assert set(relations["score"]) == {"dprime"}
    assert relations[relations["measure"] == "norm"]["ceiling"].iloc[0] == pytest.approx(np.sqrt(0.5))
    assert "study names, 0.5" in " ".join(other.stored.scores.attributes["notices"]["reading"][-1][:1])
    finished.run()


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({**TRIALS, "subject": "who"}, "responses .*responses.csv has no column who; it has participant, stimulus"),
        ({**TRIALS, "response": "stimulus"}, "column stimulus: 'imaa.png' in line 2"),
        ({**TRIALS, "trials": "none.csv"}, "there is no such file"),
    ],
)
def test_bad_responses_are_refused_before_any_work(root, tmp_path, scores, message):
    study = make_study(root, tmp_path, scores=scores)
    with pytest.raises(InputError, match=message):
        study.run()
    assert not Store(study.store).exists()


RELATED = {"bootstrap": 40, "control": ["category", "norm:fc2", "arousal"], "within": "category",
           "test": "permutation", "permutations": 99}  # fmt: skip


@pytest.fixture(scope="module")
def controlled(root, finished, tmp_path_factory):
    """The same study with controls, within categories and with a permutation test."""
    folder = tmp_path_factory.mktemp("controlled")
    shutil.copytree(finished.store, folder / "s.zarr")
    study = make_study(root, folder, relate=RELATED, scores={**TRIALS, "columns": ["hit", "fa"]})
    study.run()
    return study


def frame_of(study, root):
    table = tidy_table(study.store).set_index("image")
    images = pd.read_csv(root / "images.csv").iloc[:N_TARGETS].set_axis(table.index, axis=0)
    return table.join(images[["category", "arousal"]])


def test_categories_measures_and_columns_are_controlled_for_together(controlled, root):
    relations = read_table_of(controlled.stored.relations)
    rows = relations[relations["given"] == "category, norm:fc2, arousal"]
    assert set(rows["method"]) == {"pearson", "spearman"}
    assert set(rows["measure"]) == {"distinctiveness", "reconstruction_error", "pool_distance"}
    frame = frame_of(controlled, root)
    row = rows[(rows["method"] == "pearson") & (rows["measure"] == "distinctiveness") & (rows["score"] == "hit")].iloc[
        0
    ]
    formula = "{} ~ C(category) + norm + arousal"
    x, y = (ols(formula.format(name), frame).fit().resid for name in ("distinctiveness", "hit"))
    assert row["r"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    whole = ols("hit ~ distinctiveness + C(category) + norm + arousal", frame).fit()
    assert row["p_t"] == pytest.approx(whole.pvalues["distinctiveness"])


def test_multiple_regressions_have_the_controls_beside_the_measures(controlled, root):
    models = read_table_of(controlled.stored.models)
    row = models[(models["layer"] == "fc2") & (models["score"] == "hit")].iloc[0]
    frame = frame_of(controlled, root)
    whole = ols("hit ~ distinctiveness + reconstruction_error + C(category) + norm + arousal", frame).fit()
    alone = ols("hit ~ C(category) + norm + arousal", frame).fit()
    assert row["measures"] == "distinctiveness:fc2, reconstruction_error:fc2"
    assert row["controls"] == "category, norm:fc2, arousal"
    assert (row["r2"], row["r2_controls"]) == (pytest.approx(whole.rsquared), pytest.approx(alone.rsquared))
    assert row["p_measures"] == pytest.approx(whole.compare_f_test(alone)[1])


def test_correlations_within_categories_have_a_mean_and_a_mixed_model(controlled, root):
    within, means, mixed = (read_table_of(controlled.stored[name]) for name in ("within", "within_mean", "mixed"))
    frame = frame_of(controlled, root)
    assert set(within["category"]) == set(CATEGORIES)
    own = within[(within["measure"] == "distinctiveness") & (within["score"] == "hit")].set_index("category")
    part = frame[frame["category"] == "food"]
    assert own.loc["food", "r"] == pytest.approx(part["distinctiveness"].corr(part["hit"]))
    assert (own["n"] == 12).all()
    row = means[(means["measure"] == "distinctiveness") & (means["score"] == "hit")].iloc[0]
    assert np.arctanh(row["r"]) == pytest.approx(np.arctanh(own["r"]).mean())
    assert row["ci_low"] < row["r"] < row["ci_high"]
    assert set(mixed["given"]) == {"norm:fc2, arousal"}
    assert set(mixed["measure"]) == {"distinctiveness", "reconstruction_error", "pool_distance"}
    assert (mixed["n_categories"] == 3).all()


def test_a_permutation_test_stands_beside_p_and_families_are_named(controlled):
    relations = read_table_of(controlled.stored.relations)
    steps = relations["p_permutation"].to_numpy() * 100
    np.testing.assert_allclose(steps, np.round(steps))
    assert steps.min() >= 1
    np.testing.assert_allclose(relations["p_resolution"], 2 / 40)
    families = relations.groupby("family")["n_tests"].agg(["size", "first"])
    assert len(families) == 4
    assert (families["size"] == families["first"]).all()
    assert all(name.startswith(f"all {n} tests of ") for name, n in families["size"].items())


def test_the_page_shows_controls_categories_and_permutations(controlled):
    page = controlled.report.read_text("utf-8")
    for wanted in ("category, norm fc2, arousal", "within.csv", "within_mean.csv", "mixed.csv", "p (permutation)",
                   "Correlations within categories (8)", "Mixed models (6)", "99 permutations",
                   "Controlling for category, L2 norm at fc2 and arousal, distinctiveness",
                   "Within each category, distinctiveness correlates with hit",
                   "all 8 tests of Pearson&#39;s zero-order correlations of this study"):  # fmt: skip
        assert wanted in page, wanted


def test_what_is_controlled_is_done_and_asking_for_less_takes_it_away(controlled, root):
    assert run_stages(controlled, refuse).computed == {}
    less = controlled.model_copy(update={"relate": controlled.relate.model_copy(update={"within": None})})
    less.run(stages=["relate"])
    assert not less.stored["within"].exists()


@pytest.mark.parametrize(
    ("relate", "message"),
    [
        ({"control": ["categry"]}, "`control` names 'categry': neither a measure .* did you mean 'category'"),
        ({"within": "scene"}, "`within` names 'scene': neither a measure"),
        ({"control": ["nrom:fc2"]}, "`control` names 'nrom:fc2'"),
        ({"control": ["edges"]}, "names 'edges', which the study does not measure: add `pixels` to `measures:`"),
        ({"control": ["norm:fc1"]}, "names 'norm:fc1', but the layers of the study are fc2"),
    ],
)
def test_what_cannot_be_controlled_for_is_refused_before_any_work(root, tmp_path, relate, message):
    study = make_study(root, tmp_path, relate=relate)
    with pytest.raises(InputError, match=message):
        study.run()
    assert not Store(study.store).exists()
