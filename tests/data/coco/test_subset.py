from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.coco.world import (
    ARCHIVE,
    IMAGES_ZIP,
    PLAIN,
    few_certificates,  # noqa: F401
    instances_of,
    make_world,
    serving,
    unpacked_to,
    with_archives,
    zipped,
)
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.data.coco.instances import parse_instances, read_instances
from yolotrt.data.coco.manifest import read_manifest
from yolotrt.data.coco.request import FetchProgress, SubsetRequest, SubsetResult
from yolotrt.data.coco.select import choose
from yolotrt.data.coco.source import require_space
from yolotrt.data.coco.subset import fetch_subset
from yolotrt.data.coco.verify import ready, verify_subset
from yolotrt.data.fetch.http import TransferSettings
from yolotrt.errors import ArtifactError, DownloadError, InputError, StorageError, UsageError

WORLD = make_world(40)
QUICK = TransferSettings(connections=4, attempts=4, backoff_s=0.01, connect_s=2.0, stall_s=0.4)


def fetch(request: SubsetRequest, watch=lambda _progress: None) -> SubsetResult:
    return fetch_subset(request, watch, settings=QUICK)


def asked(server, folder: Path, **options) -> SubsetRequest:
    return SubsetRequest(**{"folder": folder / "coco", "images": 12, "base_url": server.url, **options})


def assert_whole(request: SubsetRequest, world: dict[str, bytes] = WORLD) -> None:
    """Check a folder against the world itself, not against its own manifest."""
    instances = parse_instances(instances_of(world))
    expected = {i.name for i in choose(instances, request.images, request.seed, request.classes)}
    found = {p.name: p.read_bytes() for p in request.folder.rglob("*.jpg")}
    assert found.keys() == expected
    assert all(found[name] == world[f"/val2017/{name}"] for name in found)
    assert verify_subset(request.folder).good
    names = {p.name for p in request.folder.rglob("*") if p.is_file()}
    assert not [name for name in names if name.endswith((".part", ".mark"))]


def assert_nothing_corrupt(folder: Path, world: dict[str, bytes] = WORLD) -> None:
    for path in folder.rglob("*.jpg"):
        assert path.read_bytes() == world[f"/val2017/{path.name}"]


def test_a_subset_is_fetched_listed_and_checked(tmp_path: Path) -> None:
    steps: list[FetchProgress] = []
    with serving(WORLD) as server:
        request = asked(server, tmp_path)
        result = fetch(request, steps.append)
        assert (result.fetched, result.kept, result.unproven) == (12, 0, 0)
        assert server.asked("/val2017") == 12
        assert server.sent == result.received < sum(map(len, WORLD.values())) * 0.6
    assert_whole(request)
    (part,) = result.parts
    assert (part.split, part.count, part.images) == ("all", 12, request.folder / "images")
    manifest = read_manifest(request.folder)
    for entry in manifest.files:
        assert sha256_file(request.folder / entry.file) == entry.sha256
        assert entry.source.startswith(server.url)
    assert part.annotations is not None
    assert {i.name for i in read_instances(part.annotations).images} == {e.name for e in manifest.files[:-1]}
    last = steps[-1]
    assert (last.step, last.files, last.total_files, last.bytes) == ("images", 12, 12, result.bytes)
    assert next(s.step for s in steps if s.step != "checking") == "annotations"


def test_a_second_run_downloads_nothing(tmp_path: Path) -> None:
    with serving(WORLD) as server:
        request = asked(server, tmp_path)
        assert not ready(request)
        fetch(request)
        server.forget()
        shutil.rmtree(request.folder / ".source")
        result = fetch(request)
        assert (server.requests, result.received, result.fetched, result.kept) == ([], 0, 0, 12)
        assert ready(request)


def test_a_damaged_file_is_fetched_again(tmp_path: Path) -> None:
    with serving(WORLD) as server:
        request = asked(server, tmp_path)
        fetch(request)
        server.forget()
        images = sorted((request.folder / "images").iterdir())
        changed = bytearray(images[0].read_bytes())
        changed[len(changed) // 2] ^= 1
        images[0].write_bytes(changed)
        images[1].unlink()
        (request.folder / "instances.json").write_text("{}")
        problems = dict(verify_subset(request.folder).problems)
        assert problems[f"images/{images[0].name}"] == "its content has changed (SHA-256)"
        assert problems[f"images/{images[1].name}"] == "it is missing"
        assert "bytes instead of" in problems["instances.json"]
        assert not ready(request)
        result = fetch(request)
        assert (result.fetched, result.repaired) == (2, (f"images/{images[0].name}",))
        assert server.asked("/val2017") == 2
        assert server.asked("/annotations") == 0
    assert_whole(request)


def test_other_choices_fetch_only_the_difference(tmp_path: Path) -> None:
    with serving(WORLD) as server:
        request = asked(server, tmp_path)
        fetch(request)
        assert fetch(replace(request, images=20)).fetched == 8
        server.forget()
        result = fetch(replace(request, images=20, calib_split=6))
        assert (result.fetched, server.requests) == (0, [])
        assert [(p.split, p.count) for p in result.parts] == [("calib", 6), ("eval", 14)]
        assert_whole(replace(request, images=20))
        assert not (request.folder / "instances.json").exists()
        fewer = fetch(request)
        assert (fewer.fetched, len(fewer.removed), server.requests) == (0, 8, [])
        assert fetch(replace(request, seed=5)).fetched > 0
        assert_whole(replace(request, seed=5))


def test_the_parts_are_disjoint_and_each_has_its_annotations(tmp_path: Path) -> None:
    with serving(WORLD) as server:
        result = fetch(asked(server, tmp_path, images=15, calib_split=5))
    names = {}
    for part in result.parts:
        names[part.split] = {p.name for p in part.images.iterdir()}
        assert part.annotations is not None
        assert {i.name for i in read_instances(part.annotations).images} == names[part.split]
    assert (len(names["calib"]), len(names["eval"])) == (5, 10)
    assert not names["calib"] & names["eval"]
    assert result.calibration_images == tmp_path / "coco/calib/images"


def test_images_without_annotations(tmp_path: Path) -> None:
    with serving(WORLD) as server:
        result = fetch(asked(server, tmp_path, annotations=False))
        assert result.parts[0].annotations is None
        assert not list(tmp_path.rglob("instances.json"))
        assert fetch(asked(server, tmp_path)).parts[0].annotations is not None


def test_a_server_without_ranges_sends_its_archive_once(tmp_path: Path) -> None:
    with serving(WORLD, ranges=False) as server:
        request = asked(server, tmp_path)
        result = fetch(request)
        assert server.asked(ARCHIVE) == 2
        assert result.unproven == 12
        fetch(replace(request, seed=1))
        assert server.asked(ARCHIVE) == 2
    assert_whole(replace(request, seed=1))


def test_a_mirror_with_plain_files_only(tmp_path: Path) -> None:
    plain = {path: data for path, data in WORLD.items() if path.startswith("/val2017")}
    plain[PLAIN] = json.dumps(instances_of(WORLD)).encode()
    with serving(plain) as server:
        assert fetch(asked(server, tmp_path)).unproven == 12
    assert_whole(asked(server, tmp_path))


def on_images(fault: str, times: int = 1):
    return lambda path, nth: fault if path.startswith("/val2017") and nth < times else None


def everywhere(fault: str, times: int = 1):
    return lambda _path, nth: fault if nth < times else None


@pytest.mark.parametrize("where", [on_images, everywhere])
@pytest.mark.parametrize(
    "fault",
    ["503", "drop", "reset", "long", "short", "corrupt", "redirect", "slow", "unsized", "chunked", "other"],
)
def test_every_fault_that_passes_ends_in_a_whole_set(tmp_path: Path, fault: str, where) -> None:
    with serving(WORLD, fault=where(fault)) as server:
        request = asked(server, tmp_path)
        fetch(request)
    assert_whole(request)


@pytest.mark.parametrize("fault", ["404", "503", "corrupt", "long", "short", "drop", "md5", "gzip", "loop"])
def test_a_fault_that_stays_is_named_and_keeps_what_is_good(tmp_path: Path, fault: str) -> None:
    chosen = [i.name for i in choose(parse_instances(instances_of(WORLD)), 12, 0)]
    broken = {f"/val2017/{name}" for name in chosen[2:4]}
    # A server that claims an MD5 of its own is only believed where COCO's checksums are missing.
    world = {p: d for p, d in WORLD.items() if fault != "md5" or p != IMAGES_ZIP}
    with serving(world, fault=lambda path, _nth: fault if path in broken else None) as server:
        request = asked(server, tmp_path)
        if fault == "drop":
            # Each attempt brings half of the rest, so that even this ends well in another run or two.
            for _ in range(8):
                try:
                    fetch(request)
                    break
                except DownloadError:
                    assert_nothing_corrupt(request.folder)
            return assert_whole(request)
        with pytest.raises(DownloadError, match=r"2 of 12 images are missing") as caught:
            fetch(request)
        assert chosen[2] in caught.value.message
        assert "same command continues" in (caught.value.hint or "")
        assert_nothing_corrupt(request.folder)
        assert len(list(request.folder.rglob("*.jpg"))) == 10
        assert not verify_subset(request.folder).good
        assert not ready(request)
        server.fault = lambda _path, _nth: None
        server.forget()
        assert fetch(request).fetched == 2
        assert server.asked("/val2017") == 2
    return assert_whole(request)


@pytest.mark.parametrize("fault", ["404", "503", "corrupt", "drop", "short"])
def test_annotations_that_cannot_be_had_are_named(tmp_path: Path, fault: str) -> None:
    with (
        serving(WORLD, fault=lambda path, _nth: fault if path.startswith("/ann") else None) as server,
        pytest.raises(DownloadError, match="annotations"),
    ):
        fetch(asked(server, tmp_path))
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.jpg"))


def test_no_network_names_the_ways_out(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        request = SubsetRequest(tmp_path / "coco", 7, base_url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(DownloadError, match="cannot be reached") as caught:
            fetch(request)
    hint = caught.value.hint or ""
    for way in (
        "HTTP_PROXY",
        "YOLOTRT_COCO_URL",
        "--base-url",
        "download --images 7",
        "copy",
        "--images DIR",
    ):
        assert way in hint


def test_the_command_of_a_subset_can_be_typed_into_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "my coco; $(touch gone) 'n more"
    request = SubsetRequest(folder, 9, classes=("traffic light", "dog"), annotations=False, calib_split=3)
    shown = subprocess.run(
        ["sh", "-c", f"yolotrt() {{ printf '%s\\0' \"$@\"; }}; {request.command()}"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = shown.stdout.split("\0")[:-1]
    assert words == ["download", "--images", "9", "--seed", "0", "--classes", "traffic light,dog",
                     "--no-annotations", "--calib-split", "3", "--out", str(folder)]  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_a_network_that_goes_away_stops_early(tmp_path: Path) -> None:
    with serving(WORLD) as server:
        request = asked(server, tmp_path)
        gone: list[int] = []

        def watch(progress: FetchProgress) -> None:
            if progress.step == "images" and progress.files >= 3 and not gone:
                gone.append(progress.files)
                mortal.fault = lambda *_: "reset"
                death.close()

        death = contextlib.ExitStack()
        mortal = death.enter_context(serving(WORLD))
        request = replace(request, base_url=mortal.url, images=40)
        with pytest.raises(DownloadError, match="cannot be reached"):
            fetch_subset(request, watch, settings=replace(QUICK, connections=1))
        assert 3 <= len(list(request.folder.rglob("*.jpg"))) < 40
        assert_nothing_corrupt(request.folder)
        result = fetch(replace(request, base_url=server.url))
        assert result.kept >= 3
        sources = [entry.source for entry in read_manifest(request.folder).files if entry.size_wh]
        assert sum(source.startswith(mortal.url) for source in sources) == result.kept
    assert_whole(request)


def test_nothing_is_lost_when_a_new_choice_cannot_be_fetched(tmp_path: Path) -> None:
    with serving(WORLD) as server:
        request = asked(server, tmp_path)
        fetch(request)
        before = {p: p.read_bytes() for p in request.folder.rglob("*.jpg")}
        labels = (request.folder / "instances.json").read_bytes()
        server.fault = lambda path, _nth: "404" if path.startswith("/val2017") else None
        with pytest.raises(DownloadError):
            fetch(replace(request, seed=9))
        assert all(path.read_bytes() == data for path, data in before.items())
        assert (request.folder / "instances.json").read_bytes() == labels
        server.forget()
        assert fetch(request).fetched == 0


def test_files_without_a_record_are_adopted_if_whole(tmp_path: Path) -> None:
    with serving(WORLD) as server:
        request = asked(server, tmp_path)
        fetch(request)
        (request.folder / "manifest.json").unlink()
        images = sorted((request.folder / "images").iterdir())
        changed = bytearray(images[0].read_bytes())
        changed[-60] ^= 1
        images[0].write_bytes(changed)
        images[1].write_bytes(images[1].read_bytes()[:-50])
        before = images[0].read_bytes()
        with pytest.raises(StorageError, match="no download of yolotrt wrote"):
            fetch(request)
        assert images[0].read_bytes() == before
        result = fetch(replace(request, overwrite=True))
        # images[1] has no end; the single changed byte is only found by the CRC-32 fetched because of it.
        assert (result.fetched, result.kept) == (2, 10)
        (request.folder / "manifest.json").unlink()
        server.forget()
        result = fetch(request)
        assert (result.fetched, result.unproven, server.asked("/val2017")) == (0, 0, 0)
    assert_whole(request)


def test_annotations_of_other_people_are_not_replaced(tmp_path: Path) -> None:
    with serving(WORLD) as server:
        request = asked(server, tmp_path)
        request.folder.mkdir(parents=True)
        own = request.folder / "instances.json"
        own.write_text("mine")
        with pytest.raises(StorageError, match=r"no download of yolotrt wrote, such as instances\.json"):
            fetch(request)
        assert own.read_text() == "mine"
        assert not server.asked("/val2017"), "nothing is fetched before the refusal"


def test_other_people_s_files_are_left_alone_and_named(tmp_path: Path) -> None:
    with serving(WORLD) as server:
        request = asked(server, tmp_path)
        fetch(request)
        own = request.folder / "images/holiday.jpg"
        own.write_bytes(b"mine")
        assert fetch(replace(request, seed=3)).foreign_files == ("images/holiday.jpg",)
        assert own.read_bytes() == b"mine"


def test_two_processes_take_turns(tmp_path: Path) -> None:
    with serving(WORLD, latency_s=0.03) as server:
        request = asked(server, tmp_path)
        code = (
            "import sys; from pathlib import Path; from yolotrt.data.coco.subset import *\n"
            f"r = fetch_subset(SubsetRequest(Path({str(request.folder)!r}), 12, base_url={server.url!r}))\n"
            "print(r.fetched)"
        )
        both = [
            subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        assert sorted(int(p.communicate()[0]) for p in both) == [0, 12]
        assert server.asked("/val2017") == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": 0}, "not a number of images"),
        ({"images": 41}, "There are 40 images"),
        ({"calib_split": 12}, "leaves nothing"),
        ({"calib_split": -1}, "leaves nothing"),
        ({"classes": ("persn",)}, "no class 'persn'"),
        ({"base_url": "ftp://host/coco"}, "no source for images"),
        ({"base_url": "http://"}, "base URL"),
        ({"base_url": "http://host/coco?x=1"}, "base URL"),
        ({"base_url": "http://[::1"}, "not a URL"),
        ({"base_url": "file://elsewhere/coco"}, "no source for images"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, options: dict, message: str) -> None:
    with serving(WORLD) as server, pytest.raises(UsageError, match=message):
        fetch(asked(server, tmp_path, **options))


def test_annotations_of_another_kind_are_refused(tmp_path: Path) -> None:
    captions = {"images": instances_of(WORLD)["images"], "annotations": [{"id": 1, "caption": "x"}]}
    captions["categories"] = [{"id": 1, "name": "x"}]
    with (
        serving(with_archives({}, captions)) as server,
        pytest.raises(ArtifactError, match=r"not a COCO instances file: .*captions"),
    ):
        fetch(asked(server, tmp_path))
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("place", ["server's file", "server's archive", "folder", "archive"])
def test_broken_annotations_are_called_by_what_the_user_knows(tmp_path: Path, place: str) -> None:
    inside = "annotations/instances_val2017.json"
    packed, plain = {ARCHIVE: zipped({inside: b"{"})}, {f"/{inside}": b"{"}
    folder = tmp_path / "given"
    with serving(packed if "archive" in place else plain) as server:
        if "server" in place:
            base, named = server.url, f"{server.url}{ARCHIVE if 'archive' in place else ''}/{inside}"
        else:
            unpacked_to(folder, server.files)
            base = str(folder / ARCHIVE[1:]) if place == "archive" else str(folder)
            named = f"{base}/{inside}"
        with pytest.raises(ArtifactError) as caught:
            fetch(SubsetRequest(tmp_path / "coco", 3, base_url=base))
    assert caught.value.message.startswith(f"{named} is not a COCO instances file: it is not valid JSON (")
    assert ".source" not in caught.value.message


@pytest.mark.parametrize("name", ["../../../evil.jpg", "/tmp/evil.jpg", "a/b.jpg", "..jpg"])
def test_names_never_leave_the_folder(tmp_path: Path, name: str) -> None:
    document = instances_of(WORLD)
    document["images"][0]["file_name"] = name
    with (
        serving(with_archives({f"/val2017/{name}": b"evil"}, document)) as server,
        pytest.raises(ArtifactError, match="not a plain JPEG file name"),
    ):
        fetch(asked(server, tmp_path, images=40))
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../../evil.jpg"},
        {"file": "/etc/passwd"},
        {"file": "images/../x.jpg"},
        {"file": "calib/images/000000000100.jpg"},
        {"split": "none"},
        {"bytes": -1},
        {"sha256": "abc"},
        {"size_wh": [1]},
        {"checked_by": "faith"},
        {"source": None},
    ],
)
def test_a_manifest_names_nothing_but_the_subset_s_files(tmp_path: Path, change: dict) -> None:
    with serving(WORLD) as server:
        request = asked(server, tmp_path)
        fetch(request)
        path = request.folder / "manifest.json"
        document = json.loads(path.read_text())
        document["files"][0] |= change
        path.write_text(json.dumps(document))
        for use in (lambda: fetch(request), lambda: verify_subset(request.folder)):
            with pytest.raises(ArtifactError, match="is damaged"):
                use()


def test_without_a_manifest_there_is_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no subset") as caught:
        verify_subset(tmp_path)
    assert f"yolotrt download --out {tmp_path}" in str(caught.value.hint)


def test_free_space_is_checked_first(tmp_path: Path) -> None:
    require_space(tmp_path, 10**6, free=10**9)
    with pytest.raises(StorageError, match="1 MB free; 17 MB are needed") as caught:
        require_space(tmp_path, 500_000, free=10**6)
    assert "--out" in (caught.value.hint or "")


def test_a_read_only_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "coco").write_text("a file")
    with serving(WORLD) as server, pytest.raises(StorageError):
        fetch(asked(server, tmp_path))


def test_a_disk_that_fills_up_keeps_only_whole_files(tmp_path: Path) -> None:
    """A small tmpfs of this test's own is really full; the free-space check is bypassed by a later writer."""
    script = tmp_path / "fill.sh"
    script.write_text(FILL.format(python=sys.executable, folder=tmp_path, code=FILL_CODE))
    probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("this machine does not let tests mount a tmpfs")
    with serving(WORLD, latency_s=0.02) as server:
        env = {**os.environ, "BASE": server.url, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            ["unshare", "-rm", "sh", str(script)], env=env, capture_output=True, text=True, timeout=60
        )
    assert done.stdout.split() == ["StorageError", "whole", "complete"], done.stderr


FILL = """
mkdir {folder}/disk && mount -t tmpfs -o size=24m tmpfs {folder}/disk || exit 9
cd {folder}/disk && {python} - <<'EOF'
{code}
EOF
"""

FILL_CODE = """
import os, pathlib
from tests.data.coco.test_subset import *
request = SubsetRequest(pathlib.Path("coco"), 40, base_url=os.environ["BASE"])
def watch(progress):
    if progress.step == "images" and progress.files == 5 and not os.path.exists("hog"):
        try:
            with open("hog", "wb", buffering=0) as hog:
                while True:
                    hog.write(bytes(4096))
        except OSError:
            pass
try:
    fetch(request, watch)
except StorageError as exc:
    assert "the disk is full" in exc.message, exc
    print("StorageError")
assert_nothing_corrupt(request.folder)
assert 5 <= len(list(request.folder.rglob("*.jpg"))) < 40
print("whole")
os.unlink("hog")
fetch(request)
assert_whole(request)
print("complete")
"""
