"""YAML of plain data: what is read, and what is refused with its line."""

import pytest

from distspc.errors import InputError
from distspc.io.yaml_files import MAX_FILE_NBYTES, read_yaml


def read(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    return read_yaml(tmp_path / "a.yaml", what="study file")


def test_numbers_are_numbers_and_times_stay_text(tmp_path):
    found = read(tmp_path, "a: 7\nb: 0.5\nc: 10:00:00\nd: 1e3\ne: [yes, no]\nf: 0x10\ng: -3\nh: .inf\n")
    assert found == {
        "a": 7,
        "b": 0.5,
        "c": "10:00:00",
        "d": "1e3",
        "e": [True, False],
        "f": 16,
        "g": -3,
        "h": float("inf"),
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: {c: 1, c: 2}\n", r"a\.yaml: line 2: duplicate key 'c'"),
        ("a: &x 1\nb: *x\n", r"line 2: aliases \(\*name\) are not allowed; write the value out"),
        ("a: !!python/object/apply:os.getcwd []\n", "cannot be read as YAML: .*constructor for the tag"),
        ("- 1\n", "must be a mapping of keys to values, not list"),
        ("", "must be a mapping of keys to values, not NoneType"),
        ("a: [", "cannot be read as YAML"),
        ("#" * (MAX_FILE_NBYTES + 1), "1,000,001 bytes; a study file is a page of YAML"),
    ],
    ids=["key twice", "alias", "tag", "list", "empty", "bracket", "large"],
)
def test_anything_but_plain_data_is_refused(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read(tmp_path, text)


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no profile file .*b\.yaml"):
        read_yaml(tmp_path / "b.yaml", what="profile file")
    with pytest.raises(InputError, match=r"cannot be read as YAML: .*directory"):
        read_yaml(tmp_path, what="profile file")
