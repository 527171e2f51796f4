from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from yolotrt.data.formats.tracked import read_tracked
from yolotrt.data.scenes.footage_files import video_frames, write_video
from yolotrt.data.scenes.scene import CLASS_NAMES
from yolotrt.errors import ArtifactError

WH = (320, 200)


def test_what_scenes_writes_is_read_as_it_was_drawn(tmp_path: Path) -> None:
    told = tmp_path / "day.json"
    write_video(tmp_path / "day.avi", 2, WH, footage="day", truth=told, fps=2, seconds=1.0)
    found = read_tracked(told)
    assert (found.names, found.size_wh, sorted(found.frames)) == (CLASS_NAMES, WH, [0, 1])
    for index, (_, scene) in enumerate(video_frames("day", 2, WH, fps=2, count=2)):
        shown = found.frames[index]
        assert shown.tracks.tolist() == [i.track for i in scene.instances]
        assert shown.classes.tolist() == [i.class_id for i in scene.instances]
        assert shown.boxes.tolist() == [i.box.tolist() for i in scene.instances]


def document(**changes: Any) -> dict[str, Any]:
    image = {"id": 1, "video_id": 1, "frame_index": 0, "width": 9, "height": 9}
    one = {"image_id": 1, "category_id": 1, "track_id": 1, "bbox": [1, 1, 2, 2]}
    return {"images": [image], "annotations": [one], "categories": [{"id": 1, "name": "disc"}], **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"images": []},
        {"images": [{"id": 1, "width": 9, "height": 9}]},
        {"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}]},
        {"annotations": [{"image_id": 1, "category_id": 1, "track_id": 1, "bbox": [1, 1, -2, 2]}]},
        {"annotations": document()["annotations"] * 2},
        {"categories": []},
    ],
)
def test_what_is_no_tracked_video_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document()))
    assert len(read_tracked(path).frames[0].boxes) == 1
    path.write_text(json.dumps(document(**changes)))
    with pytest.raises(ArtifactError, match="frames of one video"):
        read_tracked(path)
