from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from yolotrt.data.scenes.footage import camera_scene
from yolotrt.data.scenes.footage_files import video_frames, write_video
from yolotrt.data.scenes.footage_kinds import FOOTAGE, FootageKind
from yolotrt.data.scenes.instances import Scene

WH = (480, 270)
SMALL = (192, 108)
KINDS = [kind for kind in FOOTAGE if kind != "drift"]


def fingerprint(scene: Scene) -> str:
    seen = hashlib.sha256(scene.image.tobytes())
    for instance in scene.instances:
        seen.update(f"{instance.track} {instance.class_id} {instance.box.tolist()}".encode())
    return seen.hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_always_gives_the_same_and_every_moment_stands_alone(kind: FootageKind) -> None:
    one, other = camera_scene(kind, 3, SMALL, 4000), camera_scene(kind, 3, SMALL, 4000)
    one.at(0)
    assert fingerprint(one.at(1500)) == fingerprint(other.at(1500))
    assert fingerprint(one.at(1500)) != fingerprint(camera_scene(kind, 4, SMALL, 4000).at(1500))


def test_shapes_come_in_over_every_border_and_leave() -> None:
    scene = camera_scene("day", 1, WH, 30_000)
    moves = [mover.shape.velocity for mover in scene.movers]
    assert {(abs(x) > abs(y), (x if abs(x) > abs(y) else y) > 0) for x, y in moves} >= {
        (True, True), (True, False), (False, True), (False, False)
    }  # fmt: skip
    for mover in scene.movers:
        before, after = mover.at(mover.begin_ms), mover.at(mover.end_ms - 1)
        assert before is not None
        assert after is not None
        for shape in (before, after):
            x, y = (c / 256 for c in shape.centre)
            far = shape.size / 2
            assert not (far < x < WH[0] - far and far < y < WH[1] - far)
        assert mover.at(mover.end_ms) is None
    stop, go = next(m.wait_ms for m in scene.movers if m.wait_ms[0] != m.wait_ms[1])
    waiting = next(m for m in scene.movers if m.wait_ms == (stop, go))
    a, b = (waiting.at(waiting.begin_ms + ms) for ms in (stop, go))
    assert a is not None
    assert b is not None
    assert a.centre == b.centre


def test_what_stands_still_does_so_to_the_pixel_under_a_fixed_camera_alone() -> None:
    def static(kind: FootageKind, ms: int) -> dict[int, list[float]]:
        scene = camera_scene(kind, 5, WH, 8000).at(ms)
        return {i.track: cast(list[float], i.box.tolist()) for i in scene.instances if i.track < 1000}

    seen = static("dusk", 0), static("dusk", 4000)
    same = seen[0].keys() & seen[1].keys()
    assert len(same) > 5
    assert sum(seen[0][k] == seen[1][k] for k in same) >= len(same) - 2  # one may pass before another
    moved = static("pan", 0), static("pan", 4000)
    shift = [moved[0][k][0] - moved[1][k][0] for k in moved[0].keys() & moved[1].keys()]
    assert 150 < np.median(shift) < 170  # 40 px/s


def test_weather_shows() -> None:
    day, rain = (camera_scene(kind, 2, WH, 1000) for kind in ("day", "rain"))  # type: ignore[arg-type]
    assert (
        np.abs(rain.at(500).image.astype(int) - rain.at(533).image).mean()
        > 1.2 * np.abs(day.at(500).image.astype(int) - day.at(533).image).mean()
    )
    dusk = camera_scene("dusk", 2, WH, 60_000)
    assert dusk.at(50_000).image.mean() < 0.75 * dusk.at(0).image.mean()
    sway = camera_scene("sway", 2, WH, 1000)
    busy = np.abs(sway.at(0).image.astype(int) - sway.at(300).image).mean(axis=2) > 12
    assert 0.05 < busy.mean() < 0.5


def test_the_truth_keeps_the_number_of_an_object(tmp_path: Path) -> None:
    target, told = tmp_path / "day.avi", tmp_path / "day.json"
    write_video(target, 1, WH, footage="day", truth=told, fps=5, seconds=1.0)
    document: dict[str, Any] = json.loads(told.read_text())
    assert [image["frame_index"] for image in document["images"]] == list(range(5))
    assert document["videos"] == [
        {"id": 1, "file_name": "day.avi", "width": 480, "height": 270, "fps": 5, "length": 5}
    ]
    frames = [scene for _, scene in video_frames("day", 1, WH, fps=5, count=5)]
    for image, scene in zip(document["images"], frames, strict=True):
        mine = [a for a in document["annotations"] if a["image_id"] == image["id"]]
        assert [a["track_id"] for a in mine] == [i.track for i in scene.instances]
        assert len({a["track_id"] for a in mine}) == len(mine)


def test_tracks_of_drifting_scenes_are_kept() -> None:
    scenes = [scene for _, scene in video_frames("drift", 5, WH, fps=2, count=2)]
    first, second = ({i.track: i.class_id for i in scene.instances} for scene in scenes)
    assert len(first.keys() & second.keys()) > 3
    assert all(first[k] == second[k] for k in first.keys() & second.keys())
