"""COCO from folders and archives on this machine, and the real miniature of it."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.coco.test_subset import assert_whole, fetch
from tests.data.coco.world import (
    ARCHIVE,
    IMAGES_ZIP,
    few_certificates,  # noqa: F401
    instances_of,
    make_world,
    serving,
    unpacked_to,
    with_archives,
)
from yolotrt.data.coco.instances import read_instances
from yolotrt.data.coco.request import SubsetRequest
from yolotrt.data.coco.select import choose
from yolotrt.data.coco.verify import ready, verify_subset
from yolotrt.errors import ArtifactError, DownloadError, InputError

WORLD = make_world(40)


def asked(base: object, tmp_path: Path) -> SubsetRequest:
    return SubsetRequest(tmp_path / "coco", 12, base_url=str(base))


def only(*paths: str) -> dict[str, bytes]:
    return {path: data for path, data in WORLD.items() if path.startswith(paths)}


@pytest.mark.parametrize("as_url", [False, True])
def test_a_folder_like_the_server(tmp_path: Path, as_url: bool) -> None:
    folder = unpacked_to(tmp_path / "mirror of COCO", only("/val2017", ARCHIVE))
    request = asked(folder.as_uri() if as_url else folder, tmp_path)
    result = fetch(request)
    assert (result.fetched, result.received, result.unproven) == (12, 0, 12)
    assert_whole(request)
    assert ready(request)


def test_a_folder_with_the_archives_as_they_are_downloaded(tmp_path: Path) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    for path in (ARCHIVE, IMAGES_ZIP):
        (folder / Path(path).name).write_bytes(WORLD[path])
    request = asked(folder, tmp_path)
    result = fetch(request)
    assert result.unproven == 0
    assert_whole(request)
    manifest = json.loads(result.manifest.read_text())
    assert manifest["files"][0]["source"].startswith(f"{folder}/val2017.zip/val2017/")


def test_one_archive_with_its_neighbour_or_with_everything(tmp_path: Path) -> None:
    folder = unpacked_to(tmp_path / "a", only("/zips"))
    unpacked_to(folder / "zips", {"/" + Path(ARCHIVE).name: WORLD[ARCHIVE]})
    fetch(asked(folder / "zips/val2017.zip", tmp_path))
    everything = tmp_path / "everything.zip"
    with zipfile.ZipFile(everything, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in only("/val2017").items():
            archive.writestr(path[1:], data)
        archive.writestr("annotations/instances_val2017.json", json.dumps(instances_of(WORLD)))
    request = replace(asked(everything, tmp_path), images=20)
    assert fetch(request).fetched == 8
    assert_whole(request)


def test_new_annotations_in_a_folder_are_noticed(tmp_path: Path) -> None:
    folder = unpacked_to(tmp_path / "mirror", only("/val2017", ARCHIVE))
    fetch(asked(folder, tmp_path))
    smaller = instances_of(WORLD)
    smaller["images"], smaller["annotations"] = smaller["images"][:5], []
    unpacked_to(folder, {ARCHIVE: with_archives({}, smaller)[ARCHIVE]})
    assert fetch(replace(asked(folder, tmp_path), images=5)).parts[0].count == 5


def test_damage_on_this_side_is_named_and_not_copied(tmp_path: Path) -> None:
    folder = unpacked_to(tmp_path / "mirror", only("/val2017", ARCHIVE))
    name = choose(read_instances_of(WORLD, tmp_path), 12, 0)[4].name
    (folder / "val2017" / name).write_bytes(WORLD[f"/val2017/{name}"][:-20])
    request = asked(folder, tmp_path)
    with pytest.raises(
        DownloadError, match=rf"1 of 12 images are missing. .*{name} is damaged: it is truncated"
    ):
        fetch(request)
    (folder / "val2017" / name).unlink()
    with pytest.raises(DownloadError, match=rf"has no val2017/{name}"):
        fetch(request)
    unpacked_to(folder, only("/val2017"))
    assert fetch(request).fetched == 1
    assert_whole(request)


def read_instances_of(world: dict[str, bytes], tmp_path: Path):
    path = tmp_path / "all.json"
    path.write_text(json.dumps(instances_of(world)))
    return read_instances(path)


def test_a_damaged_member_is_never_written(tmp_path: Path) -> None:
    data = bytearray(WORLD[IMAGES_ZIP])
    chosen = choose(read_instances_of(WORLD, tmp_path), 12, 0)
    at = data.index(WORLD[f"/val2017/{chosen[0].name}"])
    data[at + 900] ^= 1
    folder = unpacked_to(tmp_path / "mirror", {IMAGES_ZIP: bytes(data), ARCHIVE: WORLD[ARCHIVE]})
    with pytest.raises(DownloadError, match="CRC-32"):
        fetch(asked(folder, tmp_path))
    assert not list((tmp_path / "coco").rglob(chosen[0].name))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, InputError, "does not exist"),
        ({}, InputError, "has no annotations/instances_val2017.json"),
        ({"/annotations_trainval2017.zip": b"no zip"}, ArtifactError, "not a usable zip archive"),
        ({"/annotations/instances_val2017.json": b"[]"}, ArtifactError, "not a COCO instances file"),
        ({"/annotations/instances_val2017.json": b"{"}, ArtifactError, "not valid JSON"),
    ],
)
def test_folders_that_are_no_source(tmp_path: Path, content, error, message: str) -> None:
    folder = tmp_path / "mirror"
    if content is not None:
        folder.mkdir()
        unpacked_to(folder, content)
    with pytest.raises(error, match=message):
        fetch(asked(folder, tmp_path))


def test_the_environment_variable_names_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = unpacked_to(tmp_path / "mirror", only("/val2017", ARCHIVE))
    monkeypatch.setenv("YOLOTRT_COCO_URL", str(folder))
    assert fetch(replace(asked("", tmp_path), base_url=None)).source == str(folder)


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools with NumPy 2
def test_the_real_miniature_over_http(tmp_path: Path, test_data: Path) -> None:
    mini = test_data / "coco-mini/val"
    files = {f"/val2017/{p.name}": p.read_bytes() for p in sorted((mini / "images").iterdir())}
    world = with_archives(files, json.loads((mini / "instances.json").read_text()))
    faults = ["503", "drop", "corrupt", "long", "redirect", "reset", None, None]

    def fault(path: str, nth: int) -> str | None:
        return faults[sum(path.encode()) % len(faults)] if nth == 0 and path.startswith("/val2017") else None

    with serving(world, fault=fault) as server:
        request = SubsetRequest(tmp_path / "coco", 60, calib_split=20, base_url=server.url)
        result = fetch(request)
        assert (result.fetched, result.unproven) == (60, 0)
        server.forget()
        assert fetch(request).received == 0
        assert server.requests == []
    assert_whole(request, world)
    from pycocotools.coco import COCO

    part = result.parts[1]
    coco = COCO(str(part.annotations))
    assert (part.split, len(coco.getImgIds()), len(coco.getCatIds())) == ("eval", 40, 80)
    assert {image["file_name"] for image in coco.imgs.values()} == {p.name for p in part.images.iterdir()}
    assert verify_subset(request.folder).good
