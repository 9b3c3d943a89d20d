"""Tables that somebody made: one reader for images, measures and scores."""

import doctest

import numpy as np
import pytest

from distspc.errors import InputError
from distspc.images import inventory, listing
from distspc.io import csv_tables
from distspc.memorability import scores
from distspc.study.file import StudyFile


def written(tmp_path, text, name="t.csv"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path / name


def read(tmp_path, text):
    return csv_tables.read_csv_table(written(tmp_path, text), what="table")


@pytest.mark.parametrize(
    "text",
    [
        "path,mem\na.png,1\nb.png,2\n",
        "path;mem\na.png;1\nb.png;2\n",
        "path\tmem\r\na.png\t1\r\nb.png\t2\r\n",
        "path,mem,\na.png,1,\nb.png,2,\n",
        "path,mem\na.png,1,,\nb.png,2,\n",
        "path,mem,,\na.png,1\nb.png,2\n",
        "\n\ufeffpath , mem\n\n a.png , 1\n,\nb.png,2 \n"[1:],
        '"path";"mem"\n"a.png";"1"\n"b.png";"2"\n',
    ],
)
def test_every_common_form_is_the_same_table(tmp_path, text):
    table = read(tmp_path, text)
    assert table.names == ["path", "mem"]
    assert table.rows == [["a.png", "1"], ["b.png", "2"]]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("image;mem (a, b, c)\na.png;0.5\nb.png;0.25\n", ["image", "mem (a, b, c)"]),
        ("image;mem, z\na.png;0,5\nb.png;0,25\n", ["image", "mem, z"]),
        ('"mem, raw";image\n1;a.png\n', ["mem, raw", "image"]),
        ("image,a;b\na.png,1\n", ["image", "a;b"]),
        ('"image";"mem, z"\n"a.png";1\n', ["image", "mem, z"]),
    ],
)
def test_names_may_hold_other_delimiters(tmp_path, text, names):
    assert read(tmp_path, text).names == names


def test_names_of_columns_without_one(tmp_path):
    assert read(tmp_path, ",path,\n0,a.png,x\n1,b.png,y\n").names == ["", "path", "Unnamed: 2"]
    assert read(tmp_path, "path,mem\n1,a.png,5\n2,b.png,6\n").names == ["", "path", "mem"]  # as R writes row names
    with pytest.raises(InputError, match="header has 2 columns, but line 2 has 3, line 3 has 3"):
        read(tmp_path, "path,mem\n1,a.png,5\n7,b.png,6\n")


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="it is a folder"):
        csv_tables.read_csv_table(tmp_path, what="table")
    with pytest.raises(InputError, match=r"in UTF-8: .*Save it as CSV in UTF-8"):
        read(tmp_path, "päth\n1\n".encode("latin-1"))
    with pytest.raises(InputError, match="not a table of comma-separated values"):
        read(tmp_path, 'path,mem\n"a"b,1\n')


@pytest.mark.parametrize(
    ("name", "entries", "first", "found"),
    [
        ("", ["7", "3"], False, True),
        ("Unnamed: 3", ["a", "b"], False, True),
        ("im_ind", ["1", "2", "3"], True, True),
        ("Index", ["0", "1", "2"], False, True),
        ("index", ["0", "2", "1"], True, False),
        ("rank", ["1", "2", "3"], False, False),
        ("mem", ["1"], True, False),
    ],
)
def test_index_columns(name, entries, first, found):
    assert csv_tables.is_index(name, entries, first=first) is found


def test_file_names_of_columns_are_safe_and_unique():
    names = ["hit", "rt", "RT", "RT<500", "RT>500", "x" * 262, "x" * 261 + "y", "mémoire", "", "../up"]
    safe = csv_tables.safe_names(names)
    assert safe["hit"] == "hit"
    assert len({name.casefold() for name in safe.values()}) == len(names)
    assert all(0 < len(name) <= 80 and name.isascii() and "/" not in name for name in safe.values())
    assert csv_tables.safe_names(["RT<500"])["RT<500"] == safe["RT<500"]


# ---------------------------------------------------------------- images


@pytest.mark.parametrize(
    "text",
    [
        ",path,role,mem\n0,x/1.png,target,1\n1,x/2.png,filler,2\n",
        "Unnamed: 0;path;role;mem\n0;x/1.png;Targets;1\n1;x/2.png;Fillers;2\n",
        "path\trole\tmem\n x/1.png \t\t1\nx/2.png\tFILLER\t2\n",
        "path,role,mem,\nx\\1.png, targets,1,\n.\\x\\2.png,fillers ,2,\n",
    ],
)
def test_tables_of_images_are_read_by_the_same_reader(tmp_path, text):
    target, filler = listing.read_image_table(written(tmp_path, text))
    assert (target.file, filler.file) == (str(tmp_path / "x" / "1.png"), str(tmp_path / "x" / "2.png"))
    assert (target.role, filler.role) == ("target", "filler")
    assert (target.problem, filler.problem) == (None, None)
    assert (dict(target.columns), dict(filler.columns)) == ({"mem": "1"}, {"mem": "2"})


def test_columns_of_a_table_of_images_keep_their_own_place_in_the_store(tmp_path):
    question = "Do you remember? " * 16
    text = f"path,rt<500,rt>500,a.b,image,{question},{question}!\nx.png,1,2,3,4,5,6\n"
    columns = inventory.extra_columns(listing.read_image_table(written(tmp_path, text)))
    assert sorted(values[0] for values in columns.values()) == ["1", "2", "3", "4", "5", "6"]
    assert (columns["a.b"], columns["table_image"]) == (["3"], ["4"])
    assert all(len(name) <= 80 for name in columns)


# ---------------------------------------------------------------- numbers


def scores_of(tmp_path, text, **options):
    return scores.read_scores(written(tmp_path, text), image_column="image", **options)


def lines(values, delimiter=","):
    return "".join(f"{i}.png{delimiter}{value}\n" for i, value in enumerate(values))


@pytest.mark.parametrize("entry", ["-", "#N/A", "#DIV/0!", "missing", "12 %", "1.5.2"])
@pytest.mark.parametrize("other", ["", ",80"])
def test_a_column_that_is_numbers_but_for_an_entry_is_an_error(tmp_path, entry, other):
    rows = "".join(f"{i}.png,{value}{other}\n" for i, value in enumerate(["0.5", "1", entry, "0.25"]))
    text = f"image,mem{',n' if other else ''}\n{rows}"
    with pytest.raises(InputError, match=r"column mem: not a number: '.*' in line 4.*--missing") as error:
        scores_of(tmp_path, text)
    assert repr(entry) in str(error.value)
    found = scores_of(tmp_path, text, missing=[entry])
    np.testing.assert_array_equal(found["mem"], [0.5, 1, np.nan, 0.25])
    assert "1 entry of column mem is read as missing" in found.attrs["notices"][-1]


def test_a_marker_that_is_a_number_counts_in_every_form(tmp_path):
    found = scores_of(tmp_path, "image,mem\n" + lines(["0.5", "-999", "-999.0", "-9"]), missing=["-999"])
    np.testing.assert_array_equal(found["mem"], [0.5, np.nan, np.nan, -9])


def test_a_marker_that_fills_most_of_a_column_is_named_too(tmp_path):
    with pytest.raises(InputError, match="column mem: not a number: '-' in line 2, '-' in line 3"):
        scores_of(tmp_path, "image,mem\n" + lines(["-", "-", "-", "0.5", "0.75"]))


def test_what_is_left_out_is_said(tmp_path):
    text = ",image,mem,note,nothing\n0,a.png,0.5,good,\n1,b.png,0.7,bad,NA\n"
    found = scores_of(tmp_path, text)
    assert list(found.columns) == ["mem"]
    told = " ".join(found.attrs["notices"])
    assert "row numbers: column without a name" in told
    assert "text: column note" in told
    assert "empty: column nothing" in told


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas_are_read_where_commas_do_not_separate(tmp_path, delimiter):
    text = f"image{delimiter}mem\n" + lines(["0,5", "-1,25", "2", ",75", "NA", "1,5e-1"], delimiter)
    found = scores_of(tmp_path, text, columns=["mem"])
    np.testing.assert_array_equal(found["mem"], [0.5, -1.25, 2, 0.75, np.nan, 0.15])
    assert "decimal commas are read as decimal points in column mem" in found.attrs["notices"][0]


def test_decimal_commas_are_named_elsewhere(tmp_path):
    with pytest.raises(InputError, match=r"column mem: not a number: '0,5' in line 2.*where semicolons or tabs"):
        scores_of(tmp_path, 'image,mem\na,"0,5"\nb,"0,7"\nc,"0,9"\n')
    with pytest.raises(InputError, match=r"column mem: not a number: '0\.5,1' in line 3"):
        scores_of(tmp_path, "image;mem\na;0.5\nb;0.5,1\nc;0.25\n")
    with pytest.raises(InputError, match=r"'1,234' may be 1234 or 1\.234"):
        scores_of(tmp_path, "image\trt\na\t1,234\nb\t512\n")
    assert list(scores_of(tmp_path, "image;rt\na;1,234\nb;512\n")["rt"]) == [1.234, 512]


@pytest.mark.parametrize("name", ["hits", "hit", "fa", "cr"])
def test_counts_are_numbers_like_others(tmp_path, name):
    values = [0, 3, 17, 42]
    assert list(scores_of(tmp_path, f"image,{name}\n{lines(values)}")[name]) == values
    assert list(scores_of(tmp_path, f"image,{name}\n" + lines([12.5, 50, 72.3, 80.1]))[name]) == [12.5, 50, 72.3, 80.1]
    with pytest.raises(InputError, match=rf"column {name}: outside \[.*, 1\]: 5.5 in line 4"):
        scores_of(tmp_path, f"image,{name}\n" + lines([0.25, 0.5, 5.5, 0.7]))


@pytest.mark.parametrize(
    ("missing", "found"), [(["-"], ("-",)), ("n.a.", ("n.a.",)), ([-999, "x"], ("-999", "x")), ([], ())]
)
def test_missing_entries_in_a_study(tmp_path, missing, found):
    content = {"store": "s.zarr", "activations": "A", "scores": {"file": "s.csv", "missing": missing}}
    assert StudyFile.from_dict(content, base=tmp_path).scores.missing == found


def test_examples():
    assert all(doctest.testmod(module).failed == 0 for module in (csv_tables, scores))
