"""YAML of plain data: what is read, and what is refused with its line."""

from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, Field, ValidationError

from distspc.errors import InputError
from distspc.io.yaml_files import MAX_FILE_NBYTES, Section, explain_errors, read_yaml


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
    with pytest.raises(InputError, match="is a folder; a profile file is a page of YAML"):
        read_yaml(tmp_path, what="profile file")


def _even(value):
    if value % 2:
        raise ValueError("expected an even number")
    return value


class Inner(Section):
    n_things: Annotated[int, Field(ge=1), AfterValidator(_even)] | Literal["auto"] = "auto"
    names: tuple[str, ...] = ()


class Outer(Section):
    kind: Literal["a", "b"]
    inner: Inner | None = None


@pytest.mark.parametrize(
    ("content", "sentences"),
    [
        ({}, ["file.kind: this key is missing; expected one of a, b"]),
        ({"kind": "c"}, ["file.kind: invalid value 'c': expected 'a' or 'b'"]),
        (
            {"kind": "a", "inner": {"n-thing": 1}},
            ["file.inner.n-thing: unknown key; did you mean 'n-things'? allowed are n-things, names"],
        ),
        ({"kind": "a", "inner": 3}, ["file.inner: invalid value 3: expected a mapping of keys to values"]),
        ({"kind": "a", "inner": {"names": "x"}}, ["file.inner.names: invalid value 'x': expected a valid list"]),
        (
            {"kind": "a", "inner": {"n-things": 0}},
            [
                "file.inner.n-things: invalid value 0: expected a number greater than or equal to 1",
                "file.inner.n-things: invalid value 0: expected 'auto'",
            ],
        ),
        (
            {"kind": "a", "inner": {"n-things": 3}},
            [
                "file.inner.n-things: invalid value 3: expected an even number",
                "file.inner.n-things: invalid value 3: expected 'auto'",
            ],
        ),
    ],
    ids=["missing", "choice", "unknown", "no section", "text", "too small", "odd"],
)
def test_mistakes_in_sections_are_named_by_key_and_value(content, sentences):
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(content)
    assert list(explain_errors(caught.value, Outer, prefix="file")) == sentences


def test_sections_have_hyphens_and_do_not_change():
    outer = Outer.model_validate({"kind": "a", "inner": {"n-things": 2}})
    assert outer.inner.n_things == 2
    assert Inner.key_names() == ["n-things", "names"]
    with pytest.raises(ValidationError, match="frozen"):
        outer.kind = "b"
    assert Outer(kind="b").inner is None
