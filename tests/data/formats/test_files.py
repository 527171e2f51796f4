"""Image files are found under the names that tools give them, and never outside of the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolotrt.data.formats.annotated import AnnotatedImage
from yolotrt.data.formats.files import located
from yolotrt.errors import InputError


def images(*names: str) -> list[AnnotatedImage]:
    return [AnnotatedImage(k, name, (8, 8)) for k, name in enumerate(names)]


def folder_of(tmp_path: Path, *names: str) -> Path:
    for name in names:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a.png", "a.png"),
        ("./a.png", "a.png"),
        ("images/a.png", "a.png"),
        ("../images/a.png", "a.png"),
        ("/home/me/set/images/a.png", "a.png"),
        ("C:\\set\\images\\a.png", "a.png"),
        ("cam1\\a.png", "cam1/a.png"),
        ("set/cam1/a.png", "cam1/a.png"),
        ("a%20b.png", "a b.png"),
        ("a%20b.png", "a%20b.png"),
        ("a\\b.png", "a\\b.png"),
        ("http://host/set/a%20b.png?size=1", "a b.png"),
        ("file:///set/a.png", "a.png"),
        ("größe.png", "größe.png"),
    ],
)
def test_names_as_tools_write_them(tmp_path: Path, name: str, file: str) -> None:
    folder = folder_of(tmp_path, file)
    (found,) = located(images(name), folder)
    assert found.path == folder / file
    assert found.name == name


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "images/../../secret.png", "..", "x" * 5000]
)
def test_nothing_outside_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path, "a.png")
    (tmp_path / "secret.png").touch()
    with pytest.raises(InputError, match="1 of 1 annotated images are not in"):
        located(images(name), folder)


def test_the_paths_that_were_looked_for_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "b.png")
    with pytest.raises(InputError) as caught:
        located(images("sub/a.png", "b.png"), folder)
    assert f"looked for {folder}/sub/a.png and {folder}/a.png" in caught.value.message


def test_an_image_is_not_replaced_by_one_of_another_folder(tmp_path: Path) -> None:
    """cam2/1.png is missing: 1.png, which is there, is another picture."""
    folder = folder_of(tmp_path, "cam1/1.png", "1.png")
    with pytest.raises(InputError, match="1 of 2"):
        located(images("cam1/1.png", "cam2/1.png"), folder)


def test_no_file_for_two_images(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1.png")
    with pytest.raises(InputError, match=r"cam1/1\.png and cam2/1\.png .* would both be"):
        located(images("cam1/1.png", "cam2/1.png"), folder)
