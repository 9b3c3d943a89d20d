"""Files beside the results are known by the names that the study gives them; all others stay."""

import pytest

from distspc.pipeline.leftovers import Leftover, logs, old_reports, remove, units


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def names_of(found):
    return sorted(file.name for one in found for file in one.files)


def test_units_are_those_of_the_store_and_nothing_else(tmp_path):
    write(tmp_path / "s.zarr.units", "fc2-0123abcd/000000000-000000064.npy", "fc2-0123abcd/notes.txt", "mine/a.npy")
    write(tmp_path / "s.zarr.units", f"spilled-ab1/{'0f' * 16}.npy")
    write(tmp_path / "other.zarr.units", "fc2-0123abcd/000000000-000000064.npy")
    write(tmp_path / "s.zarr", "zarr.json", "a/c/0.abc.partial")
    found = units(tmp_path / "s.zarr")
    assert names_of(found) == ["0.abc.partial", "000000000-000000064.npy", f"{'0f' * 16}.npy"]
    assert sum(one.nbytes for one in found) == 3
    assert remove(found) == 3
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        "s.zarr.units/fc2-0123abcd/notes.txt",
        "s.zarr.units/mine/a.npy",
        "other.zarr.units/fc2-0123abcd/000000000-000000064.npy",
        "s.zarr/zarr.json",
    }
    assert not (tmp_path / "s.zarr.units/spilled-ab1").exists()


def test_an_update_that_was_begun_goes_whole_and_the_store_stays(tmp_path):
    write(tmp_path, "s.zarr/zarr.json", "s.zarr.update/zarr.json", "s.zarr.update/images/c/0", "s.zarr.update-mine/a")
    found = units(tmp_path / "s.zarr")
    assert [(one.name, one.nbytes) for one in found] == [("s.zarr.update (an update that was begun)", 2)]
    remove(found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.zarr", "s.zarr.update-mine"]


@pytest.mark.parametrize(
    "name",
    [
        "study-12.out", "study-extract-123.out", "study-distances-123.err", "s-extract-4_2.out", "study-extract.o81",
        "study.e81",
    ],
)  # fmt: skip
def test_logs_of_the_study_s_jobs_are_its_own(tmp_path, name):
    write(tmp_path, name)
    assert names_of(logs(tmp_path, ["study", "s"])) == [name]


@pytest.mark.parametrize(
    "name", ["study2-12.out", "other-extract-12.out", "study.yaml", "study-12.csv", "study-notes.out", "study.out"]
)
def test_other_files_are_not_logs_of_the_study(tmp_path, name):
    write(tmp_path, name)
    assert logs(tmp_path, ["study", "s"]) == []


def test_links_are_left_alone(tmp_path):
    write(tmp_path / "far", "study-12.out", "fc2-0123abcd/000000000-000000064.npy")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/study-12.out").symlink_to(tmp_path / "far/study-12.out")
    (tmp_path / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "s.zarr.units").symlink_to(tmp_path / "far")
    assert (
        logs(tmp_path / "logs", ["study"]) == logs(tmp_path / "linked", ["study"]) == units(tmp_path / "s.zarr") == []
    )


def test_figures_that_no_page_links_to_are_old(tmp_path):
    write(tmp_path, "figures/training.png", "figures/training.svg", "figures/scatter_a.png", "figures/mine.png")
    write(tmp_path, "tables/models.csv", "tables/measures.csv", "tables/mine.csv")
    page = tmp_path / "report.html"
    assert old_reports(page, current=True) == []
    page.write_text('<a href="figures/training.png">PNG</a> <a href="tables/measures.csv">')
    (tmp_path / "another.html").write_text('<a href="figures/training.svg">SVG</a>')
    assert names_of(old_reports(page, current=True)) == ["models.csv", "scatter_a.png"]
    assert names_of(old_reports(page, current=False)) == [
        "measures.csv", "models.csv", "report.html", "scatter_a.png", "training.png",
    ]  # fmt: skip


def test_a_file_that_is_gone_meanwhile_is_no_trouble(tmp_path):
    assert remove([Leftover("gone", (tmp_path / "gone",), (tmp_path / "folder",))]) == 0
