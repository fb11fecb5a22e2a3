"""Which pictures are explained, where their results go, and what is never overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from command_line import bytes_of, photo
from explain_graphs import colours

from onnxcam.engine import Explainer
from onnxcam.errors import CannotWriteFile, ImageNotFound, WouldOverwriteImage
from onnxcam.folders import explain_jobs, make_folder
from onnxcam.jobs import find_jobs
from onnxcam.records import Failure, Record, Style

OUT = Path("out")


def stems(*sources: object) -> dict[str, str]:
    """Picture's name to the name of its results below the output folder."""
    jobs = find_jobs([str(source) for source in sources], OUT)
    return {job.image.name: job.stem.relative_to(OUT).as_posix() for job in jobs}


def stems_in_order(*sources: object) -> list[str]:
    return [job.stem.relative_to(OUT).as_posix() for job in find_jobs([str(source) for source in sources], OUT)]


def explain(folder: Path, *sources: object, targets: list[object] | None = None, **style: bool) -> list[object]:
    explainer = Explainer(colours().SerializeToString(), threads=1)
    jobs = find_jobs([str(source) for source in sources], folder)
    return list(explain_jobs(explainer, jobs, targets or [], Style(**style)))


def records(found: list[object]) -> list[Record]:
    return [record for records in found if isinstance(records, list) for record in records]


def test_a_file_gives_its_name_to_its_results(tmp_path: Path):
    assert stems(photo(tmp_path / "a.png")) == {"a.png": "a"}


def test_a_folder_is_searched_through_and_its_tree_is_kept(tmp_path: Path):
    for name in ("a.png", "b.JPG", "sub/c.png", "sub/deep/d.bmp"):
        photo(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert stems(tmp_path) == {"a.png": "a", "b.JPG": "b", "c.png": "sub/c", "d.bmp": "sub/deep/d"}


def test_a_glob_keeps_the_tree_below_its_fixed_part(tmp_path: Path):
    for name in ("one/a.png", "two/a.png", "two/b.jpg"):
        photo(tmp_path / name)
    assert stems_in_order(tmp_path / "*" / "*.png") == ["one/a", "two/a"]
    assert stems_in_order(tmp_path / "**" / "*.png") == ["one/a", "two/a"]


def test_a_picture_named_twice_is_explained_once(tmp_path: Path):
    path = photo(tmp_path / "a.png")
    assert stems_in_order(path, tmp_path, tmp_path / "*.png") == ["a"]


COLLISIONS = [
    # name,                         pictures,                             stems of their results
    ("two formats", ["a.jpg", "a.png"], ["a.jpg", "a.png"]),
    ("one letter's case", ["a.png", "A.jpg"], ["a.png", "A.jpg"]),
    ("two folders", ["x/a.png", "y/a.png"], ["a.png", "a.png-2"]),
    ("a name with a format in it", ["a.jpg", "a.png", "a.jpg.png"], ["a.jpg", "a.png", "a.jpg.png"]),
    ("nothing shared", ["a.jpg", "b.jpg"], ["a", "b"]),
]


@pytest.mark.parametrize(("name", "files", "expected"), COLLISIONS, ids=[row[0] for row in COLLISIONS])
def test_no_two_pictures_share_their_results(name: str, files: list[str], expected: list[str], tmp_path: Path):
    assert stems_in_order(*(photo(tmp_path / file) for file in files)) == expected


def test_overlays_of_an_earlier_run_are_no_pictures_of_a_folder(tmp_path: Path):
    photo(tmp_path / "a.png")
    assert len(records(explain(tmp_path, tmp_path))) == 1
    assert (tmp_path / "a.cam.png").is_file()
    assert stems(tmp_path) == {"a.png": "a"}
    assert stems(tmp_path / "*.png") == {"a.png": "a"}


@pytest.mark.parametrize("source", ["gone.png", "*.png", "."])
def test_a_source_without_a_picture_is_named(source: str, tmp_path: Path):
    with pytest.raises(ImageNotFound, match="no picture at"):
        find_jobs([str(tmp_path / source)], OUT)


def test_an_overlay_never_replaces_a_picture_to_explain(tmp_path: Path):
    own, other = photo(tmp_path / "a.png"), photo(tmp_path / "a.cam.png", (1, 2, 3))
    before = bytes_of(other)
    first, second = explain(tmp_path, own, other)
    assert isinstance(first, Failure)
    assert isinstance(first.error, WouldOverwriteImage)
    assert bytes_of(other) == before
    assert [record.output for record in records([second])] == [str(tmp_path / "a.cam.cam.png")]


def test_a_bad_picture_leaves_the_others_alone(tmp_path: Path):
    good, bad = photo(tmp_path / "b.png"), tmp_path / "a.png"
    bad.write_bytes(b"")
    first, second = explain(tmp_path / "out", bad, good)
    assert isinstance(first, Failure)
    assert first.image == str(bad)
    assert [record.image for record in records([second])] == [str(good)]


def test_several_targets_get_a_file_each_named_by_their_class(tmp_path: Path):
    path = photo(tmp_path / "a.png")
    found = records(explain(tmp_path, path, targets=["blue", "not:red", -1]))
    assert [Path(record.output).name for record in found] == ["a.2.cam.png", "a.3.cam.png", "a.0.cam.png"]
    assert [record.label for record in found] == ["blue, navy", "not:red, scarlet", "red, scarlet"]


def test_the_array_that_is_saved_is_the_heatmap_on_the_photos_own_pixels(tmp_path: Path):
    # Red is the best class, and its map is the red plane: 198 on the left, 202 on the right.
    path = photo(tmp_path / "a.png", (30, 60, 200), size=(10, 12))
    (record,) = records(explain(tmp_path, path, save_heatmap=True))
    heatmap = np.load(str(record.heatmap))
    assert (heatmap.dtype, heatmap.shape) == (np.float32, (10, 12))
    np.testing.assert_allclose(heatmap[:, :4], 198 / 255, rtol=1e-5)
    np.testing.assert_allclose(heatmap[:, -4:], 202 / 255, rtol=1e-5)


def test_a_map_that_says_nothing_comes_with_its_reason(tmp_path: Path):
    (record,) = records(explain(tmp_path, photo(tmp_path / "a.png", (0, 0, 90)), targets=["green"]))
    assert record.status == "all-zero"
    assert "nothing in layer4 speaks for green" in record.reason
    assert "reason" not in record.to_dict()


def test_folders_are_made(tmp_path: Path):
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path):
    path = photo(tmp_path / "a.png")
    with pytest.raises(CannotWriteFile, match=r"a\.png cannot be written: a file has that name"):
        make_folder(path)


def test_a_folder_that_is_not_writable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Root may write anywhere, so that chmod alone would prove nothing there.
    tmp_path.chmod(0o555)
    if os.geteuid() == 0:
        monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(CannotWriteFile, match="permission denied"):
        make_folder(tmp_path)
    tmp_path.chmod(0o755)


def test_targets_that_turn_out_the_same_have_one_heatmap(tmp_path: Path):
    found = records(explain(tmp_path / "out", photo(tmp_path / "red.png"), targets=[2, -1, "red", 1, 0]))
    assert [record.target_index for record in found] == [2, 0, 1]
    assert len({record.output for record in found}) == 3
