from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from yolotrt.data.scenes.files import coco_instances, write_scenes
from yolotrt.data.scenes.footage_files import write_video
from yolotrt.data.scenes.scene import CLASS_NAMES, make_scene
from yolotrt.errors import StorageError, UsageError
from yolotrt.evaluation.groundtruth import load_ground_truth

WH = (640, 400)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools, NumPy 2
def test_pycocotools_reads_the_annotations() -> None:
    scenes = [make_scene(seed, WH) for seed in (1, 2)]
    coco = COCO()
    coco.dataset = json.loads(json.dumps(coco_instances((f"{i}.jpg", s) for i, s in enumerate(scenes))))
    coco.createIndex()
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(CLASS_NAMES)
    for image_id, scene in enumerate(scenes, 1):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image_id))
        assert len(annotations) == len(scene.instances) > 0
        for annotation, instance in zip(annotations, scene.instances, strict=True):
            mask = instance.mask
            whole = np.zeros((WH[1], WH[0]), np.uint8)
            height, width = mask.bits.shape
            whole[mask.y : mask.y + height, mask.x : mask.x + width] = mask.bits
            assert (coco.annToMask(annotation) == whole).all()
            assert annotation["area"] == whole.sum()
            x, y, w, h = annotation["bbox"]
            assert [x, y, x + w, y + h] == instance.box.tolist()
            assert annotation["category_id"] == instance.class_id + 1
            assert annotation["iscrowd"] == 0
    identities = [a["id"] for a in coco.dataset["annotations"]]
    assert identities == list(range(1, len(identities) + 1))


def test_written_scenes_are_a_dataset_that_eval_reads(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    written = write_scenes(tmp_path, 2, 7, WH, progress=lambda *step: steps.append(step))
    truth = load_ground_truth(written)
    files = truth.files(tmp_path / "images")
    assert [f.name for f in files] == ["scene-000007.jpg", "scene-000008.jpg"]
    image = cv2.imread(str(files[0]))
    assert image is not None
    assert np.abs(image.astype(int) - make_scene(7, WH).image).mean() < 8, "JPEG loses little"
    assert steps[-1] == ("draw scenes", 2, 2)


def test_scenes_can_be_written_as_tiles(tmp_path: Path) -> None:
    truth = load_ground_truth(write_scenes(tmp_path, 1, 1, WH, tile=320))
    assert len(truth.images) == 6
    assert {image.size_wh for image in truth.images} == {(320, 320)}
    assert len(list((tmp_path / "images").iterdir())) == 6


def test_a_video_has_the_requested_frames(tmp_path: Path) -> None:
    target = write_video(tmp_path / "moving.mp4", 3, (320, 240), fps=10, seconds=0.8)
    clip = cv2.VideoCapture(str(target))
    frames = []
    while (read := clip.read())[0]:
        frames.append(read[1])
    assert len(frames) == 8
    assert frames[0].shape == (240, 320, 3)
    assert (frames[0] != frames[-1]).any()
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["moving.mp4"]


@pytest.mark.parametrize("wh", [(63, 400), (640, 8193)])
def test_sizes_out_of_range_are_refused(tmp_path: Path, wh: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="out of range"):
        write_scenes(tmp_path / "out", 1, 0, wh)
    assert not (tmp_path / "out").exists()


def test_videos_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="odd side"):
        write_video(tmp_path / "a.mp4", 0, (321, 240))
    with pytest.raises(UsageError, match="names no video format"):
        write_video(tmp_path / "a.gif", 0, (320, 240))
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StorageError, match=r"is a file|a file is"):
        write_scenes(tmp_path / "out", 1, 0, WH)


def test_a_disk_too_full_for_a_video_is_a_clear_error(tmp_path: Path) -> None:
    """A limit on file sizes is such a disk."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from yolotrt.data.scenes.footage_files import write_video\n"
        "from yolotrt.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "try: write_video(Path(sys.argv[1]), 3, (320, 240), fps=10, seconds=1.0)\n"
        "except StorageError as exc: print(exc.message)"
    )
    for limit in (1000, 10_000):
        command = [sys.executable, "-c", code, str(tmp_path / "video.mp4"), str(limit)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert "larger than allowed here" in done.stdout, done.stderr
        assert not [p for p in tmp_path.iterdir() if not p.name.startswith(".")]
