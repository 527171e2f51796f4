from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from yolotrt.artifacts.yaml_text import YamlText
from yolotrt.errors import InputError
from yolotrt.workflow.pipeline_yaml import (
    DISPATCH,
    GLOBAL_ENABLED,
    GROUPS,
    PARALLEL,
    TILES_ENGINE,
    group_changes,
    read_pipeline,
    update_pipeline,
)

APP = """\
# Camera 3, night shift
camera: {url: 'rtsp://10.0.0.3/main',   fps: 25}   # odd   spacing stays
models:
    yolo_global:
        engine: "engines/global.engine"   # 640 px
        enabled:   yes
    yolo_tiles:
        engine: engines/tiles.engine  # rebuilt weekly
        classes:
          - car
          -   person   # both
yolo_tiles_parallel:
    # measured on the bench
    enabled: true
    groups: 4      # of 32 tiles
tail: >
    folded
    text
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(APP)
    (tmp_path / "engines").mkdir()
    for name in ("tiles", "global"):
        (tmp_path / "engines" / f"{name}.engine").touch()
    return path


def test_the_keys_of_an_application_are_understood(app: Path) -> None:
    found = read_pipeline(app)
    assert (found.mode, found.dispatch, found.groups) == ("tiled+global", "threads", 4)
    assert found.engines == (app.parent / "engines/tiles.engine", app.parent / "engines/global.engine")


def test_engines_are_found_beside_the_file_or_else_in_the_current_folder(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere" / "pipeline.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(APP)
    assert read_pipeline(elsewhere).engines[0] == Path("engines/tiles.engine")


def test_a_missing_engine_is_named_with_file_line_and_key(app: Path) -> None:
    (app.parent / "engines" / "tiles.engine").unlink()
    with pytest.raises(InputError) as caught:
        read_pipeline(app)
    place = f"{app}:8: models.yolo_tiles.engine"
    assert caught.value.message == f"{place}: no such engine: 'engines/tiles.engine'."
    assert str(app.parent) in (caught.value.hint or "")
    app.write_text(APP.replace("        classes:", "        enabled: false\n        classes:"))
    assert read_pipeline(app).mode == "global"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("enabled:   yes", "enabled: false", ("tiled", "threads", 4)),
        ("enabled: true", "enabled: off", ("tiled+global", "serial", 1)),
        ("        classes:", "        enabled: False\n        classes:", ("global", "serial", 1)),
        ('engine: "engines/global.engine"', "engine: engines/tiles.engine", ("tiled+global", "threads", 4)),
    ],
)
def test_what_is_disabled_does_not_run(app: Path, old: str, new: str, expected: tuple[object, ...]) -> None:
    app.write_text(APP.replace(old, new))
    found = read_pipeline(app)
    assert (found.mode, found.dispatch, found.groups) == expected
    assert len(found.engines) == 1 or expected[0] == "tiled+global"


def test_an_update_changes_its_values_and_not_one_other_character(app: Path) -> None:
    app.write_bytes(APP.replace("\n", "\r\n").encode("utf-8-sig"))
    backup = update_pipeline(
        app, {TILES_ENGINE: "engines/new int8.engine", GLOBAL_ENABLED: False, PARALLEL: False, GROUPS: 8}
    )
    expected = (
        APP.replace("engines/tiles.engine", "engines/new int8.engine")
        .replace("enabled:   yes", "enabled:   false")
        .replace("enabled: true", "enabled: false")
        .replace("groups: 4 ", "groups: 8 ")
    )
    assert app.read_bytes() == expected.replace("\n", "\r\n").encode("utf-8-sig")
    assert backup.name == "pipeline.yaml.bak"
    assert backup.read_bytes() == APP.replace("\n", "\r\n").encode("utf-8-sig")
    assert update_pipeline(app, {GROUPS: 2}).name == "pipeline.yaml.bak2"


def test_missing_keys_are_added_where_they_belong(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    for name in ("a.engine", "b.engine"):
        (tmp_path / name).touch()
    path.write_text("models:\n  yolo_tiles:\n    engine: a.engine # mine\n  yolo_global: {engine: b.engine}")
    update_pipeline(path, {PARALLEL: True, GROUPS: 4, GLOBAL_ENABLED: True})
    assert path.read_text() == (
        "models:\n  yolo_tiles:\n    engine: a.engine # mine\n"
        "  yolo_global: {enabled: true, engine: b.engine}\n"
        "yolo_tiles_parallel:\n  groups: 4\n  enabled: true\n"
    )
    assert read_pipeline(path).groups == 4


@pytest.mark.parametrize(
    ("dispatch", "groups", "written"),
    [
        ("serial", 1, False),
        ("threads", 4, False),
        ("serial", 4, True),
        ("streams", 2, True),
        ("graph", 1, True),
    ],
)
def test_how_groups_run_comes_back_and_old_files_get_a_new_key_only_where_it_is_needed(
    app: Path, dispatch: str, groups: int, written: bool
) -> None:
    update_pipeline(app, group_changes(app, dispatch, groups))
    found = read_pipeline(app)
    assert (found.dispatch, found.groups) == (dispatch, groups)
    new = f"    dispatch: {dispatch}\n" if written else ""
    expected = APP.replace(
        "enabled: true", f"enabled: {'false' if dispatch == 'serial' else 'true'}"
    ).replace("groups: 4 ", f"groups: {groups} ")
    assert app.read_text().replace(new, "") == expected
    assert app.with_name("pipeline.yaml.bak").read_text() == APP


def test_a_dispatch_that_is_there_wins_and_is_kept_up_to_date(app: Path) -> None:
    app.write_text(APP.replace("groups: 4 ", "groups: 4\n    dispatch: graph  # measured "))
    assert (read_pipeline(app).dispatch, read_pipeline(app).groups) == ("graph", 4)
    changes = group_changes(app, "threads", 8)
    assert changes[DISPATCH] == "threads"
    update_pipeline(app, changes)
    assert "    dispatch: threads  # measured" in app.read_text()
    assert (read_pipeline(app).dispatch, read_pipeline(app).groups) == ("threads", 8)


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_permissions_stay_and_the_backup_shows_no_more_than_the_file(app: Path, mode: int) -> None:
    app.chmod(mode)
    backup = update_pipeline(app, {GROUPS: 2})
    assert [path.stat().st_mode & 0o7777 for path in (app, backup)] == [mode, mode]


def test_a_link_stays_a_link(app: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(app)
    update_pipeline(link, {GROUPS: 2})
    assert link.is_symlink()
    assert "groups: 2" in app.read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("groups: 4", "groups: four", r":15: yolo_tiles_parallel\.groups: must be a whole number"),
        ("groups: 4", "dispatch: auto", r":15: yolo_tiles_parallel\.dispatch: must be one of serial, thr"),
        ("groups: 4", "groups: 0", r":15: .*above 0"),
        ("enabled: true", "enabled: [1]", r":14: .*single value"),
        ("enabled: true", 'enabled: "maybe"', r":14: .*true or false"),
        ("engine: engines/tiles.engine", "engine:", r":8: models\.yolo_tiles\.engine: is missing"),
        ("    yolo_tiles:", "    yolo_tiles: 3\n    other:", r":7: models\.yolo_tiles: must be a mapping"),
        ("groups: 4", "groups: 4\n  bad", r":16: "),
        ("groups: 4", "groups: 4\n    groups: 5", r":16: .*duplicate"),
        ("groups: 4", "groups: *four", "alias"),
        ("camera:", "camera: &a", None),
    ],
)
def test_a_bad_file_is_an_error_with_line_and_key(app: Path, old: str, new: str, message: str | None) -> None:
    app.write_text(APP.replace(old, new))
    if message is None:
        read_pipeline(app)
        return
    with pytest.raises(InputError, match=message):
        read_pipeline(app)


@pytest.mark.parametrize("text", ["", "- a\n", "3", "\x00"])
def test_what_holds_no_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"p\.yaml"):
        read_pipeline(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        read_pipeline(path)


def test_an_aliased_value_is_not_changed_behind_its_owners_back(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("n: &n 4\nyolo_tiles_parallel:\n  groups: *n\n")
    with pytest.raises(InputError, match=r":3: yolo_tiles_parallel\.groups: is an alias"):
        update_pipeline(path, {GROUPS: 8})
    path.write_text("base: &b {groups: 4}\nyolo_tiles_parallel:\n  <<: *b\n")
    with pytest.raises(InputError, match="merged"):
        update_pipeline(path, {GROUPS: 8})
    assert not list(tmp_path.glob("*.bak"))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=30))
def test_any_engine_name_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(APP)
    text = YamlText.read(path).replaced(TILES_ENGINE, name)
    assert text.string(TILES_ENGINE) == name
    assert YAML(typ="safe", pure=True).load(text.text)["models"]["yolo_tiles"]["engine"] == name
