"""``yolotrt predict``: pictures, folders and videos in; drawn pictures and COCO records out."""

from __future__ import annotations

import json
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from benchmarks.forked import Commands
from tests.cli.conftest import Cli
from tests.data.clips import clip
from tests.workflow.test_evaluate import tiny_engine
from yolotrt.data.images import list_images
from yolotrt.data.video_file import VideoFile
from yolotrt.geometry.rle import decode_rle


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return tiny_engine(tmp_path).path


def test_a_folder(cli: Cli, engine: Path, pictures: Path) -> None:
    (pictures / "broken.jpg").write_bytes(b"no picture")
    done = cli("predict", engine, pictures, "--save", "found", "--json", "r.json", "--merge", "nmm",
               "--conf", 0.4)  # fmt: skip
    assert done.code == 0, done.err
    assert "skipped" in done.err
    assert [line.split(":")[0] for line in done.out.splitlines()] == [f"{i}.png" for i in range(4)]
    records = json.loads(Path("r.json").read_text())
    assert {r["image"] for r in records} <= {f"{i}.png" for i in range(4)}
    for record in records[:20]:
        x, y, w, h = record["bbox"]
        rle = {**record["segmentation"], "counts": record["segmentation"]["counts"].encode()}
        found = decode_rle(rle)
        if found.area:
            height, width = found.bits.shape
            assert x - 1 <= found.x <= found.x + width <= x + w + 1
            assert y - 1 <= found.y <= found.y + height <= y + h + 1
    for i in range(4):
        before, after = (cv2.imread(str(folder / f"{i}.png")) for folder in (pictures, Path("found")))
        assert before.shape == after.shape
        assert (before != after).any() == any(r["image"] == f"{i}.png" for r in records)


def test_one_picture_to_stdout(cli: Cli, engine: Path, pictures: Path) -> None:
    done = cli("predict", engine, pictures / "0.png", "--mode", "global", "--json", "-", "--conf", 0.4)
    assert done.code == 0, done.err
    assert {"image", "image_id", "category_id", "category", "bbox", "score", "segmentation"} == set(
        json.loads(done.out)[0]
    )


def loaded(truth: str, results: str) -> list[dict[str, Any]]:
    return list(COCO(truth).loadRes(results).anns.values())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, NumPy 2
def test_records_and_dataset_of_one_run_belong_together(cli: Cli, engine: Path, pictures: Path) -> None:
    done = cli("predict", engine, pictures, "--json", "r.json", "--coco", "d.json", "--jsonl", "l.jsonl",
               "--conf", 0.4)  # fmt: skip
    assert done.code == 0, done.err
    dataset = json.loads(Path("d.json").read_text())
    assert [i["file_name"] for i in dataset["images"]] == [f"{i}.png" for i in range(4)]
    assert [c["id"] for c in dataset["categories"]] == [17, 18], "cat and dog, as COCO has them"
    truth = COCO("d.json")
    assert len(truth.anns) > 3
    for annotation in truth.anns.values():
        assert truth.annToMask(annotation).sum() == annotation["area"]
    found = loaded("d.json", "r.json")
    assert [(a["image_id"], a["category_id"], a["bbox"]) for a in found] == [
        (a["image_id"], a["category_id"], a["bbox"]) for a in truth.anns.values()
    ]
    lines = [json.loads(line) for line in Path("l.jsonl").read_text().splitlines()]
    assert [line["image"] for line in lines] == [f"{i}.png" for i in range(4)]
    assert [thing for line in lines for thing in line["objects"]] == [
        {k: r[k] for k in ("category_id", "category", "bbox", "score", "segmentation")}
        for r in json.loads(Path("r.json").read_text())
    ]


def test_ids_of_annotations(cli: Cli, engine: Path, pictures: Path) -> None:
    images = [{"id": 70 + i, "file_name": f"{i}.png", "width": 200 + i, "height": 150} for i in range(3)]
    document = {"images": images, "annotations": [], "categories": [{"id": 44, "name": "Dog"}]}
    Path("gt.json").write_text(json.dumps(document))
    done = cli("predict", engine, pictures, "--annotations", "gt.json", "--json", "r.json", "--conf", 0.4)
    assert done.code == 0, done.err
    found = loaded("gt.json", "r.json")
    assert {a["category_id"] for a in found} == {44}
    assert {a["image_id"] for a in found} <= {70, 71, 72}
    assert "1 of 4 pictures are not in gt.json (the first is 3.png)" in done.err
    assert "gt.json does not know: " in done.err
    assert " cat: --json and --coco leave them out" in done.err
    assert "another size" not in done.err
    images[1] |= {"width": 150, "height": 201}
    Path("gt.json").write_text(json.dumps(document))
    done = cli("predict", engine, pictures, "--annotations", "gt.json", "--json", "r.json")
    assert "1 of 4 pictures are turned or of another size than in gt.json (1.png: " in done.err
    assert " px, there 150x201 px)" in done.err
    document["images"] = [{**images[0], "file_name": "another.png"}]
    Path("gt.json").write_text(json.dumps(document))
    done = cli("predict", engine, pictures, "--annotations", "gt.json", "--json", "r.json")
    assert (done.code, "none of the 4 pictures" in done.err) == (1, True), done.err


def test_pictures_of_one_name_stay_apart(cli: Cli, engine: Path, pictures: Path, tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png", "x.bmp", "x.tif", "y.jpg", "y.JPG", "x.bmp.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "in" / name), cv2.imread(str(pictures / "0.png")))
    done = cli("predict", engine, "in", "--save", "out", "--jsonl", "-", "--mode", "global")
    assert done.code == 0, done.err
    records = [json.loads(line) for line in done.out.splitlines()]
    assert {r["image"] for r in records} == {
        p.relative_to("in").as_posix() for p in Path("in").rglob("*") if p.is_file()
    }
    assert len({r["image_id"] for r in records}) == len(records) == 7
    drawn = (p for p in Path("out").rglob("*") if p.is_file() and not p.name.startswith("."))
    assert {p.relative_to("out").as_posix() for p in drawn} == {
        "a/1.png", "b/1.png", "x.bmp-2.png", "x.tif.png", "y.jpg", "y.JPG", "x.bmp.png",
    }  # fmt: skip


def test_what_was_drawn_within_the_source_is_no_input_any_more(
    cli: Cli, engine: Path, pictures: Path
) -> None:
    for save in ("drawn", "drawn", "others"):
        done = cli("predict", engine, pictures, "--save", pictures / save, "--mode", "global")
        assert done.code == 0, done.err
        assert [line.split(":")[0] for line in done.out.splitlines()] == [f"{i}.png" for i in range(4)]
    assert "what yolotrt predict drew in subfolders is left out (4 files)" in done.err
    assert len(list(pictures.rglob("*.png"))) == 12
    mine = pictures / "drawn" / "mine.png"
    mine.write_bytes((pictures / "0.png").read_bytes())
    assert set(list_images(pictures)) == {*(pictures / f"{i}.png" for i in range(4)), mine}
    assert len(list_images(pictures / "drawn")) == 5, "a folder that is named itself is read as it is"


def test_a_video(cli: Cli, engine: Path, tmp_path: Path) -> None:
    times = [0, 40, 200, 1000]
    clip(tmp_path / "in.mkv", 4, times_ms=times)
    done = cli("predict", engine, "in.mkv", "--save", "found", "--json", "r.json", "--coco", "d.json",
               "--mode", "global", "--conf", 0.01)  # fmt: skip
    assert done.code == 0, done.err
    assert [line.split(":")[0] for line in done.out.splitlines()] == [f"in.mkv#{k}" for k in range(4)]
    with closing(VideoFile(Path("found/in.mkv.mp4"))) as found:
        assert [round(f.moment.time_s * 1000) for f in found.frames()] == times
    images = json.loads(Path("d.json").read_text())["images"]
    assert [(i["id"], i["frame"], i["time_s"]) for i in images] == [
        (k + 1, k, t / 1000) for k, t in enumerate(times)
    ]
    records = json.loads(Path("r.json").read_text())
    assert {r["image"] for r in records} <= {f"in.mkv#{k}" for k in range(4)}
    again = cli("predict", engine, "in.mkv", "--annotations", "d.json", "--json", "a.json",
                "--mode", "global", "--conf", 0.01)  # fmt: skip
    assert again.code == 0, again.err
    assert json.loads(Path("a.json").read_text()) == records
    short = cli("predict", engine, "in.mkv", "--limit", 2, "--save", "short", "--mode", "global")
    assert (short.code, len(short.out.splitlines())) == (0, 2), short.err
    assert "is replaced" not in short.err
    once_more = cli("predict", engine, "in.mkv", "--limit", 2, "--save", "short", "--mode", "global")
    assert f"note: {Path('short/in.mkv.mp4')}, of an earlier call, is replaced" in once_more.err
    with closing(VideoFile(Path("short/in.mkv.mp4"))) as found:
        assert len(list(found.frames())) == 2


def test_a_video_that_breaks_off_is_said(cli: Cli, engine: Path, tmp_path: Path) -> None:
    noise = list(np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8))
    path = clip(tmp_path / "v.mkv", 20, images=noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = cli("predict", engine, path, "--mode", "global", "--save", "found")
    assert done.code == 0, done.err
    came = len(done.out.splitlines())
    assert f"announces about 20 frames (0.80 s), {came} frames came" in done.err
    done = cli("run", engine, "--source", path, "--mode", "global", "--drop", "block", "--json", "-")
    assert done.code == 0, done.err
    assert f"{came} frames came" in done.err
    (remark,) = json.loads(done.out)["remarks"]
    assert f"{came} frames came" in remark


def test_options_that_make_no_sense(cli: Cli, engine: Path, pictures: Path) -> None:
    assert cli("predict", engine, pictures, "--annotations", "gt.json").code == 2
    assert cli("predict", engine, pictures, "--json", "-", "--jsonl", "-").code == 2


def test_the_ending_jsonl_means_json_lines(cli: Cli, engine: Path, pictures: Path) -> None:
    assert cli("predict", engine, pictures, "--mode", "global", "--json", "x.jsonl").code == 0
    assert len([json.loads(line) for line in Path("x.jsonl").read_text().splitlines()]) == 4


def test_ctrl_c_leaves_no_half_film_and_no_half_records(
    commands: Commands, engine: Path, tmp_path: Path
) -> None:
    clip(tmp_path / "v.mp4", 900, images=[np.zeros((240, 320, 3), np.uint8)] * 900)
    command = ("predict", engine, "v.mp4", "--save", "out", "--jsonl", "-", "--json", "out/r.json")
    running = commands.start(command, tmp_path)
    while (printed := running.printed).count("\n") < 3:
        assert not running.ended(), running.said
        time.sleep(0.01)
    lines = [json.loads(line) for line in printed.splitlines()[:3]]
    assert [line["frame"] for line in lines] == [0, 1, 2], "each comes when it is found"
    running.send(signal.SIGINT)
    done = running.done(60)
    assert (done.code, "Traceback" in done.stderr) == (130, False), done.stderr
    assert not [p for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")]


@pytest.mark.parametrize("source", ["nowhere.jpg", "nowhere.mp4", "."])
def test_a_source_without_pictures(cli: Cli, engine: Path, source: str) -> None:
    done = cli("predict", engine, source)
    assert (done.code, "Traceback" in done.err) == (1, False), done.err


def test_what_was_saved_among_the_pictures_is_not_taken_for_one_of_them(
    cli: Cli, engine: Path, pictures: Path
) -> None:
    command = ("predict", engine, pictures, "--save", pictures / "found", "--mode", "global", "--json", "-")
    first = cli(*command)
    assert (first.code, len(list((pictures / "found").rglob("*.png")))) == (0, 4)
    again = cli(*command)
    assert (again.code, again.out) == (0, first.out)
    assert len(list(pictures.rglob("*.png"))) == 8


def test_several_sources_are_one_run(cli: Cli, engine: Path, pictures: Path, tmp_path: Path) -> None:
    clip(tmp_path / "v.mkv", 3)
    named = ("pictures/0.png", "v.mkv", "pictures/[12].png")
    done = cli(
        "predict",
        engine,
        *named,
        "--source",
        "v.mkv",
        "--save",
        "out",
        "--json",
        "r.json",
        "--coco",
        "d.json",
    )
    assert done.code == 0, done.err
    assert [line.split(":")[0] for line in done.out.splitlines()] == [
        "pictures/0.png", "v.mkv#0", "v.mkv#1", "v.mkv#2", "pictures/1.png", "pictures/2.png",
    ]  # fmt: skip
    assert len({image["id"] for image in json.loads(Path("d.json").read_text())["images"]}) == 6
    drawn = {p.relative_to("out").as_posix() for p in Path("out").rglob("*.*") if not p.name.startswith(".")}
    assert drawn == {"pictures/0.png", "v.mkv.mp4", "pictures/1.png", "pictures/2.png"}
    assert len(list(VideoFile(Path("out/v.mkv.mp4")).frames())) == 3
    done = cli("predict", engine, "--save", "out")
    assert (done.code, "No source was named" in done.err) == (2, True)
