"""What frames come from, known by content."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from yolotrt.data.kinds import SCENE
from yolotrt.data.sources import MAX_FRAMES, source_files
from yolotrt.errors import ImageError, PictureWarning


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
    with pytest.raises(ImageError, match="does not exist"):
        source_files(str(tmp_path / "none"))
