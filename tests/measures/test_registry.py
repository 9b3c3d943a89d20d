"""Measures that there are, and how a study names them."""

import re
from pathlib import Path

import numpy as np
import pytest

from distspc.measures import activation_statistics
from distspc.measures.registry import COLUMNS, MEASURES, ChosenMeasure, columns_of, parse_measures
from distspc.results.measures import MEASURES as NAMES


def test_every_file_of_the_folder_is_found():
    assert {"activation-statistics", "pixels"} <= set(MEASURES)
    assert MEASURES["activation-statistics"] is activation_statistics.MEASURE
    assert all(measure.word == word and measure.source and measure.columns for word, measure in MEASURES.items())


def test_no_two_columns_have_one_name_and_all_are_in_the_list_of_measures():
    assert len(COLUMNS) == sum(len(measure.columns) for measure in MEASURES.values())
    assert set(COLUMNS) <= set(NAMES)
    assert columns_of(["pixels"]) == ["jpeg_nbytes", "edge_share", "luminance_contrast", "colourfulness"]


def test_a_study_names_a_measure_by_a_word_or_with_its_settings():
    chosen = parse_measures(["activation-statistics", {"name": "pixels", "size": 224}])
    assert [one.word for one in chosen] == ["activation-statistics", "pixels"]
    assert chosen[1].options.recipe == {"size": 224}
    assert [one.as_given() for one in chosen] == ["activation-statistics", {"name": "pixels", "size": 224}]
    assert parse_measures([one.as_given() for one in chosen]) == chosen


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["pixel"], "there is no measure 'pixel'; did you mean 'pixels'? there are activation-statistics, "),
        ([3], "there is no measure 3; there are "),
        ("pixels", "expected a list of measures"),
        (["pixels", "pixels"], "pixels is named twice"),
        ([{"size": 3}], "a measure is a name, or has `name` and settings; got the keys size"),
        ([{"name": "pixels", "sise": 3}], "pixels: sise: unknown key; did you mean 'size'? allowed are size"),
        (
            [{"name": "pixels", "size": True}],
            "pixels: size: invalid value True: expected a whole number from 0 to",
        ),
        ([{"name": "pixels", "size": -1}], "size: invalid value -1"),
        ([{"name": "activation-statistics", "k": 3}], "activation-statistics: k: unknown key; this measure has none"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_measures(given)


def test_a_chosen_measure_stays_what_it_is():
    one = ChosenMeasure.parse("pixels")
    assert ChosenMeasure.parse(one) is one


def test_the_example_of_the_guide_is_a_whole_measure():
    guide = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    made = {}
    exec(code, made)
    measure = made["MEASURE"]
    assert measure.of_image(np.array([1.0, 4.0]), None) == [3.0]
    assert list(measure.variables()) == ["activation_range"]
