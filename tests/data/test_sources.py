"""What frames come from, known by content."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from tests.data.clips import clip
from yolotrt.data.capture import Capture
from yolotrt.data.kinds import SCENE
from yolotrt.data.measured import MAX_FRAMES, read_frames, source_files
from yolotrt.data.named import Live, Stills, label, local_paths, named
from yolotrt.data.sources import Pictures, open_source
from yolotrt.data.stream import NetworkStream
from yolotrt.data.video import moving_sources
from yolotrt.errors import InputError, PictureWarning, UsageError


def test_pictures_are_named_from_their_folder_with_their_hash(pictures: Path, tmp_path: Path) -> None:
    (pictures / "deep").mkdir()
    shutil.copy(pictures / "0.png", pictures / "deep" / "0.png")
    found = source_files(str(pictures))
    assert [name for name, _ in found] == ["0.png", "1.png", "2.png", "3.png", "deep/0.png"]
    assert found[0][1] == hashlib.sha256((pictures / "0.png").read_bytes()).hexdigest() == found[-1][1]
    assert source_files(str(pictures / "0.png")) == (("0.png", found[0][1]),)
    pictures.rename(tmp_path / "moved")
    assert source_files(str(tmp_path / "moved")) == found


def test_only_what_is_measured_counts(pictures: Path) -> None:
    for i in range(MAX_FRAMES + 3):
        shutil.copy(pictures / "0.png", pictures / f"more{i:02}.png")
    assert len(source_files(str(pictures))) == MAX_FRAMES


def test_a_scene_has_no_files_and_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source_files(SCENE) == ()
    monkeypatch.chdir(tmp_path)
    (tmp_path / SCENE).mkdir()
    with pytest.warns(PictureWarning, match="what is called so here is ./scene"):
        assert source_files(SCENE) == ()
    with pytest.raises(InputError, match="does not exist"):
        source_files(str(tmp_path / "none"))


def test_patterns_folders_and_several_names_are_one_source(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pictures, "cam2")
    (pictures / "notes.txt").write_text("no picture")
    clip(tmp_path / "v.mkv", 3)
    with pytest.warns(PictureWarning, match=r"left out as neither pictures nor videos: notes.txt"):
        (found,) = named("pictures/*")
    assert isinstance(found, Stills)
    assert list(found.paths) == [f"{i}.png" for i in range(4)]
    (both,) = named(["pictures", "cam2"])
    assert isinstance(both, Stills)
    assert list(both.paths)[::4] == ["pictures/0.png", "cam2/0.png"]
    with closing(open_source(["pictures/0.png", "v.mkv", "cam2/1.png", "v.mkv"])) as mixed:
        assert [shot.name for shot in mixed.shots(print)] == [
            "pictures/0.png", "v.mkv#0", "v.mkv#1", "v.mkv#2", "cam2/1.png",
        ]  # fmt: skip
    assert [name for name, _ in source_files(["cam2/3.png", "v.mkv"])] == ["cam2/3.png", "v.mkv"]
    assert len(read_frames(["v.mkv", "cam2/*.png"])) == 7
    assert local_paths(["cam2/[01].png", "scene", "0", "rtsp://u:p@x/y", "new"]) == [
        Path("cam2/0.png"), Path("cam2/1.png"), Path("new"),
    ]  # fmt: skip


def test_the_first_picture_may_be_read_ahead(pictures: Path) -> None:
    first, second = sorted(pictures.iterdir())[:2]
    source = open_source([str(first), str(second)])
    assert isinstance(source, Pictures)
    source.read_ahead()
    first.unlink()
    assert [shot.name for shot in source.shots(print)] == [first.name, second.name]
    first.write_text("no picture")
    source.read_ahead()
    said: list[str] = []
    assert [shot.name for shot in source.shots(said.append)] == [second.name]
    assert len(said) == 1


def test_cameras_and_streams_are_named_without_their_passwords(tmp_path: Path) -> None:
    (stream,) = named("rtsp://me:secret@camera/main")
    assert stream == Live("rtsp://camera/main", "rtsp://me:secret@camera/main")
    assert named("0") == (Live("camera 0", 0),)
    assert label(["rtsp://me:secret@camera/main", "a.jpg"]) == "rtsp://camera/main, a.jpg"
    with pytest.raises(InputError, match="camera 63 cannot be opened"):
        open_source("63")
    with pytest.raises(InputError, match="matches nothing"):
        named(str(tmp_path / "*.jpg"))
    cameras = moving_sources(["0", "rtsp://u:p@b/x", "1"])
    assert [source.name for source in cameras] == ["camera 0", "rtsp://b/x", "camera 1"]
    assert [type(source) for source in cameras] == [Capture, NetworkStream, Capture]
    assert isinstance(moving_sources("rtsp://b/x", decoder="opencv")[0], Capture)
    with pytest.raises(UsageError, match="cameras of this machine"):
        moving_sources("0", decoder="pyav")
    with pytest.raises(UsageError, match="neither"):
        moving_sources("-", decoder="opencv")
    with pytest.raises(UsageError, match="do not say their size"):
        moving_sources("-")
    with pytest.raises(InputError, match="yolotrt run"):
        open_source("-")
    with pytest.raises(InputError, match="yolotrt run"):
        read_frames("-")
