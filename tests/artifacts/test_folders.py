"""A folder of pictures is written to again by who filled it, and by nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolotrt.artifacts.folders import (
    NAME,
    by_list,
    named,
    outside,
    owning,
    owning_file,
    with_ending,
)
from yolotrt.errors import StorageError

PICTURES = with_ending(".jpg", ".png")


def fill(folder: Path, *names: str, maker: str = "yolotrt predict", overwrite: bool = False) -> None:
    with owning(folder, maker, PICTURES, option="--save", overwrite=overwrite):
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(maker)


def test_who_filled_a_folder_fills_it_again(tmp_path: Path) -> None:
    fill(tmp_path / "out", "a.jpg")
    fill(tmp_path / "out", "a.jpg", "b.jpg")
    fill(tmp_path / "out", "c.jpg")
    (tmp_path / "out").rename(tmp_path / "moved")
    fill(tmp_path / "moved", "a.jpg")


@pytest.mark.parametrize("place", ["a.jpg", "cam1/a.JPG"])
def test_pictures_of_others_stop_it_before_anything_is_written(tmp_path: Path, place: str) -> None:
    out = tmp_path / "out"
    (out / place).parent.mkdir(parents=True)
    (out / place).write_text("mine")
    with pytest.raises(StorageError, match="such as") as caught:
        fill(out, "b.jpg")
    assert "--save" in str(caught.value.hint)
    assert "out-out" in str(caught.value.hint), "a name that is free"
    assert [p for p in out.rglob("*") if p.is_file()] == [out / place]
    fill(out, place, overwrite=True)
    fill(out, place)


def test_what_lies_beside_and_is_no_picture_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    fill(tmp_path, "a.jpg")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_picture_that_was_exchanged_meanwhile_is_somebody_s(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg")
    (tmp_path / "a.jpg").write_text("a photo of the user's")
    with pytest.raises(StorageError, match=r"a\.jpg"):
        fill(tmp_path, "a.jpg")


def test_another_verb_is_another_maker(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg")
    with pytest.raises(StorageError, match="yolotrt scenes did not write"):
        fill(tmp_path, "b.jpg", maker="yolotrt scenes")


def test_what_a_killed_or_failed_run_left_is_its_own(tmp_path: Path) -> None:
    def fail() -> None:
        with owning(tmp_path, "yolotrt predict", PICTURES):
            (tmp_path / "a.jpg").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    fill(tmp_path, "a.jpg")
    block = owning(tmp_path, "yolotrt predict", PICTURES)
    block.__enter__()
    (tmp_path / "b.jpg").write_text("half")  # and the process dies
    fill(tmp_path, "b.jpg")


def test_a_damaged_list_knows_of_nothing(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg")
    (tmp_path / NAME).write_text('{"format": "yolotrt.files", "version": 1, "made": [')
    with pytest.raises(StorageError, match=r"a\.jpg"):
        fill(tmp_path, "a.jpg")


def test_links_to_folders_of_others_are_seen_through_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cam1").symlink_to(tmp_path / "photos")
    (tmp_path / "out" / "loop").symlink_to(tmp_path / "out")
    with pytest.raises(StorageError, match=r"cam1/a\.jpg"):
        fill(tmp_path / "out", "cam1/a.jpg")


def test_a_part_that_is_not_written_to_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("mine")
    assert list(outside(PICTURES, tmp_path / "photos")(tmp_path)) == []
    assert len(list(PICTURES(tmp_path))) == 1


def test_all_files_of_a_subfolder_can_be_watched(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("images/x.txt", "images/.hidden", "instances.json", "other"):
        (tmp_path / name).touch()
    assert {p.name for p in named("images", "instances.json")(tmp_path)} == {"x.txt", "instances.json"}


def test_one_file_is_known_by_its_name_and_size(tmp_path: Path) -> None:
    clip, kind = tmp_path / "clip.mp4", by_list("a video", "yolotrt clip")
    clip.write_text("mine")
    assert not kind.is_own(clip)
    with pytest.raises(StorageError, match=r"clip\.mp4"), owning_file(clip, "yolotrt clip", option="--video"):
        pass
    clip.unlink()
    with owning_file(clip, "yolotrt clip", option="--video"):
        clip.write_text("a video")
    assert kind.is_own(clip)
    other = tmp_path / "other.mp4"
    other.write_text("a video")
    assert not kind.is_own(other), "the list of one file says nothing of another"
    clip.write_text("exchanged")
    assert not kind.is_own(clip)
