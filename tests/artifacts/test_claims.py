"""No output may cost a file that the user made, whatever its name leads to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from yolotrt.artifacts.claims import Output, claim, is_same, require_apart, require_own
from yolotrt.artifacts.documents import write_document
from yolotrt.artifacts.kinds import HTML, MARKDOWN, Kind, begins, document, json_with
from yolotrt.errors import StorageError, UsageError

OURS = document("a result", "yolotrt.test")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    folder = tmp_path / "pics"
    folder.mkdir()
    photo = folder / "a.png"
    photo.write_bytes(b"\x89PNG the only copy")
    return photo


def spelled(photo: Path, how: str) -> Path:
    """Return another path to a photo."""
    other = photo.parent.parent / "other"
    if how == "symbolic link":
        other.symlink_to(photo)
    elif how == "link to the folder":
        other.symlink_to(photo.parent)
        return other / photo.name
    elif how == "hard link":
        os.link(photo, other)
    elif how == "dots":
        return photo.parent / ".." / photo.parent.name / "." / photo.name
    elif how == "through a folder that is not there":
        return photo.parent / "none" / ".." / photo.name
    elif how == "relative":
        return Path(os.path.relpath(photo))
    return other if how.endswith("link") else photo


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        "as it is",
        "symbolic link",
        "link to the folder",
        "hard link",
        "dots",
        "relative",
        "through a folder that is not there",
    ],
)
def test_an_output_is_never_an_input(photo: Path, how: str, overwrite: bool) -> None:
    output = Output("--json", spelled(photo, how), OURS)
    with pytest.raises(UsageError, match=r"--json .* is an input"):
        claim([output], [photo], overwrite=overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("how", ["as it is", "symbolic link", "link to the folder"])
def test_an_output_is_no_file_of_a_folder_that_is_read(photo: Path, how: str, overwrite: bool) -> None:
    output = Output("-o", spelled(photo, how), OURS)
    with pytest.raises(UsageError, match="which is read"):
        claim([output], [photo.parent], overwrite=overwrite)


def test_a_result_may_lie_among_the_inputs_and_be_written_again(photo: Path) -> None:
    output = Output("--json", photo.parent / "result.json", OURS)
    claim([output], [photo.parent])
    write_document(output.path, format="yolotrt.test", version=1, body={})
    claim([output], [photo.parent])


@pytest.mark.parametrize("second", ["r", "./r", "../{folder}/r", "link"])
def test_two_outputs_are_never_one_file(tmp_path: Path, second: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "r")
    other = tmp_path / second.format(folder=tmp_path.name)
    outputs = [Output("--html", tmp_path / "r", HTML), Output("--markdown", other, MARKDOWN)]
    with pytest.raises(UsageError, match="--html and --markdown name one file"):
        claim(outputs, overwrite=True)
    assert not (tmp_path / "r").exists()


def test_names_that_differ_in_case_are_one_file_where_the_file_system_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "r.md", tmp_path / "R.md"
    assert not is_same(one, other)
    exists = Path.exists

    def folding(path: Path) -> bool:
        return exists(path) or any(p.name.lower() == path.name.lower() for p in path.parent.iterdir())

    monkeypatch.setattr(Path, "exists", folding)  # a folder that folds case cannot be had here
    assert is_same(one, other)


@pytest.mark.parametrize(
    "name", [".r.json.lock", ".e.onnx.json.next", ".r.0a1b2c3d.part", ".yolotrt-files.json"]
)
def test_an_output_takes_the_place_of_no_lock(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="lock or temporary"):
        claim([Output("-o", tmp_path / name, OURS)], overwrite=True)


def test_what_is_there_and_is_something_else_stays_unless_it_may_go(photo: Path) -> None:
    output = Output("-o", photo, OURS)
    with pytest.raises(StorageError, match=r"a\.png: it is there already and is not a result") as caught:
        claim([output])
    assert "--overwrite" in str(caught.value.hint)
    claim([output], overwrite=True)
    assert photo.read_bytes() == b"\x89PNG the only copy", "claiming alone changes nothing"


def test_a_name_through_a_folder_that_is_not_there_is_seen_through(photo: Path) -> None:
    with pytest.raises(StorageError, match="is not a result"):
        claim([Output("-o", photo.parent / "none" / ".." / photo.name, OURS)])


def test_an_empty_file_is_nothing_to_lose(tmp_path: Path) -> None:
    (tmp_path / "r.json").touch()  # as mktemp makes it
    claim([Output("-o", tmp_path / "r.json", OURS)])


def test_a_document_of_ours_is_known_also_when_it_is_cut_off(tmp_path: Path) -> None:
    target = write_document(tmp_path / "r", format="yolotrt.test", version=1, body={"x": "y" * 9000})
    target.write_bytes(target.read_bytes()[:5000])
    require_own(target, OURS)
    with pytest.raises(StorageError):
        require_own(target, document("another", "yolotrt.tes"))


@pytest.mark.parametrize(
    ("kind", "own", "others"),
    [
        (json_with("j", ("a", "b"), ("c",)), '{"c": 1}', '{"a": 1}'),
        (json_with("j", ("a",), fits=lambda found: found["a"] == 1), '{"a": 1}', '{"a": 2}'),
        (json_with("j", ("a",)), '{"a": 1, "b": 2}', '["a"]'),
        (document("d", "f", listed=True), '[\n {\n  "format": "f"', '[[{"format": "f"}]]'),
        (begins("b", "engine,precision"), "engine,precision,mode\n", "precision,engine\n"),
        (HTML, '<head>\n<meta name="generator" content="yolotrt">', "<html><title>yolotrt</title>"),
        (MARKDOWN, "<!-- written by yolotrt -->\n# x", "# x\n<!-- written by yolotrt -->\n"),
    ],
)
def test_each_kind_is_known_by_its_content(tmp_path: Path, kind: Kind, own: str, others: str) -> None:
    (tmp_path / "x").write_text(own)
    assert kind.is_own(tmp_path / "x")
    (tmp_path / "x").write_text(others)
    assert not kind.is_own(tmp_path / "x")
    assert not kind.is_own(tmp_path / "none")


def test_an_output_is_no_folder_of_the_same_command(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--out and --json name one file"):
        claim([Output("--json", tmp_path / "d", OURS)], folders=[("--out", tmp_path / "d")])


def test_a_folder_that_is_read_is_not_written_to(photo: Path) -> None:
    (photo.parent.parent / "link").symlink_to(photo.parent)
    for folder in (photo.parent, photo.parent.parent / "link"):
        with pytest.raises(UsageError, match="is what is read") as caught:
            require_apart("--save", folder, [photo.parent])
    assert str(caught.value.hint).endswith("pics-out.")
    require_apart("--save", photo.parent / "found", [photo.parent])


@pytest.mark.parametrize("name", ["n" * 256, "n" * 251])
def test_names_that_are_too_long_are_met_before_the_work(tmp_path: Path, name: str) -> None:
    """Of an engine the sidecar has the longer name."""
    outputs = [Output("-o", tmp_path / name, OURS), Output("sidecar", tmp_path / f"{name}.json", OURS)]
    with pytest.raises(StorageError, match="too long"):
        claim(outputs)


def test_a_hint_names_a_folder_so_that_it_can_be_typed(tmp_path: Path) -> None:
    folder = tmp_path / "in\x1b[31m"
    folder.mkdir()
    with pytest.raises(UsageError) as caught:
        require_apart("--save", folder, [folder])
    assert f"--save $'{tmp_path}/in\\x1b[31m-out'" in str(caught.value.hint)
