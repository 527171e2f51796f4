"""Versioned JSON documents: results, accuracy, sidecars, caches and whatever ``--json`` writes.

Each file says what it is (``format``) and in which version (``version``), so that a foreign,
truncated or newer file is recognised instead of being half-understood. What is in it is a frozen dataclass:
a :class:`Document` reads it, writes it and gives its JSON Schema.

The dataclasses are converted by msgspec. It checks types, choices and bounds of plain dataclasses, which
stay free of it; it makes the schema from the same types, is compiled (a result of a million samples takes
a fraction of a second), has no dependencies, and is a wheel of 250 KB for each Python that we support.
Pydantic does the same with models of its own, five times the size and four packages.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from yolotrt.artifacts.files import require_file, write_text
from yolotrt.artifacts.kinds import Kind, document, either, json_with
from yolotrt.errors import ArtifactError, InputError
from yolotrt.text import shell_words

MAX_BYTES = 256 * 1024 * 1024
"""Documents of ours are far smaller; a larger file is not one of them."""


_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)

MAX_DIGITS = 19
"""Whole numbers are at most those of 64 bits and a sign."""

_REASON = 200
"""Characters of a reason; some quote the value that is wrong."""

_SCALARS = (float, int, str, type(None))

T = TypeVar("T")

Migration = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns the fields of a document as the next version has them."""


@dataclass(frozen=True)
class Document(Generic[T]):
    """One kind of JSON document.

    A field that a document has and its type lacks is passed over, so that adding one needs no new version.

    Attributes:
        format: What its files say that they are.
        version: The version that is written.
        type: A dataclass with its fields.
        what: What it is in words, such as "a benchmark result".
        again: What to do with a damaged one, for a hint.
        older: Earlier versions that are still read, and how the next one is made of each.
        check: Raises ValueError or TypeError for a value whose fields do not fit each other.
        prepare: Fills in what files have besides, before a value is written.
        unmarked: Fields by which files are recognised that were written before they said what they are.
        unmarked_version: The version that these count as.
    """

    format: str
    version: int
    type: type[T]
    what: str
    again: str = "Make it again."
    older: Mapping[int, Migration] = field(default_factory=dict)
    check: Callable[[T], None] = lambda _: None
    prepare: Callable[[T], T] = lambda value: value
    unmarked: frozenset[str] = frozenset()
    unmarked_version: int = 0

    @property
    def kind(self) -> Kind:
        """How a file of this kind is recognised, also a truncated one."""
        marked = document(self.what, self.format)
        return either(marked, json_with(self.what, self.unmarked)) if self.unmarked else marked

    def is_in(self, found: Any) -> bool:
        """Return whether what was read from a file says that it is one of these."""
        if not isinstance(found, dict):
            return False
        if "format" in found:
            return bool(found["format"] == self.format)
        return bool(self.unmarked) and self.unmarked <= found.keys()

    def to_json(self, value: T) -> dict[str, Any]:
        """Return a value as JSON values, as they are written."""
        return {"format": self.format, "version": self.version, **as_values(self.prepare(value))}

    def write(self, target: Path, value: T) -> Path:
        """Write a value as an indented JSON document, atomically.

        Raises:
            StorageError: The file cannot be written; see :func:`yolotrt.artifacts.files.atomic_target`.
        """
        return write_text(target, json.dumps(self.to_json(value), indent=1, allow_nan=False) + "\n")

    def read(self, path: Path) -> T:
        """Read a document of this version, or of an earlier one that is still known.

        Raises:
            InputError: The file is missing or unreadable.
            ArtifactError: It is damaged, foreign, or of another version.
        """
        return self.parse(path, read_json(path))

    def parse(self, path: Path, found: Any) -> T:
        """Return the value of what :func:`read_json` found.

        Args:
            path: Where it was found, for messages.
            found: JSON values.

        Raises:
            ArtifactError: It is damaged, foreign, or of another version.
        """
        fields = self._fields(path, found)
        try:
            value = _completed(msgspec.convert(fields, self.type))
            self.check(value)
        except (msgspec.ValidationError, TypeError, ValueError, OverflowError) as exc:
            raise self._damaged(path, exc) from exc
        return value

    def _fields(self, path: Path, found: Any) -> dict[str, Any]:
        """Return the fields in the current version."""
        if self.is_in(found) and "format" not in found:
            found = {"format": self.format, "version": self.unmarked_version, **found}
        at = found.get("version") if isinstance(found, dict) else None
        try:
            while self.is_in(found) and type(at) is int and at in self.older:
                found, at = {**self.older[at](found), "version": at + 1}, at + 1
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            raise self._damaged(path, exc) from exc
        return require_document(path, found, format=self.format, version=self.version)

    def _damaged(self, path: Path, exc: Exception) -> ArtifactError:
        reason = f"no field {exc}" if isinstance(exc, KeyError) else str(exc)
        short = reason if len(reason) <= _REASON else reason[:_REASON] + " ..."
        return ArtifactError(f"{path} is damaged: {short}.", hint=self.again)


def as_values(value: Any) -> Any:
    """Return a dataclass, or a collection of some, as values that can be written as JSON."""
    return msgspec.to_builtins(value, enc_hook=_plain)


def _completed(value: T) -> T:
    """Give dataclasses all of their fields; msgspec leaves defaults to the class, unseen by ``vars``."""
    if is_dataclass(value):
        found = {entry.name: _completed(getattr(value, entry.name)) for entry in dataclass_fields(value)}
        vars(value).clear()
        vars(value).update(found)
    elif isinstance(value, dict):
        for inner in value.values():
            _completed(inner)
    elif isinstance(value, (list, tuple)) and any(not isinstance(v, _SCALARS) for v in value[:2]):
        for inner in value:
            _completed(inner)
    return value


def _plain(value: Any) -> Any:
    """Return a subclass of a plain type (NumPy's float64) as that type."""
    for base in (float, int, str):
        if isinstance(value, base):
            return base(value)
    raise TypeError(f"{type(value).__name__} has no place in a document")


def write_document(target: Path, *, format: str, version: int, body: Mapping[str, Any]) -> Path:
    """Write ``body``, JSON values and dataclasses, as an indented JSON document, atomically.

    Raises:
        StorageError: The file cannot be written; see :func:`yolotrt.artifacts.files.atomic_target`.
    """
    document = {"format": format, "version": version, **as_values(body)}
    return write_text(target, json.dumps(document, indent=1, allow_nan=False) + "\n")


def read_document(path: Path, *, format: str, version: int) -> dict[str, Any]:
    """Read a document of exactly this format and version.

    Raises:
        InputError: The file is missing or unreadable.
        ArtifactError: It is not valid JSON, not of this format, or of another version.
    """
    return require_document(path, read_json(path), format=format, version=version)


def require_document(path: Path, document: Any, *, format: str, version: int) -> dict[str, Any]:
    """Return what was read from ``path`` if it is a document of exactly this format and version.

    Raises:
        ArtifactError: It is not.
    """
    said = document.get("format") if isinstance(document, dict) else None
    if said != format:
        named = isinstance(said, str) and re.fullmatch(r"[\w.-]{1,60}", said)
        raise ArtifactError(
            f"{path} is not a {format} file" + (f": it says that it is {said}." if named else "."),
            hint=f"See what it is: yolotrt inspect {shell_words(str(path))}",
        )
    assert isinstance(document, dict)
    if document.get("version") != version:
        found = reprlib.repr(document.get("version"))
        raise ArtifactError(
            f"{path} is {format} version {found}; this yolotrt reads version {version}.",
            hint="Make it again with this yolotrt.",
        )
    return document


def read_json(path: Path, label: str | None = None) -> Any:
    """Read any JSON file within sane limits; NaN and Infinity are refused.

    Args:
        path: The file.
        label: What to call it where its content is at fault; the path if None.

    Raises:
        InputError: The file is missing or unreadable.
        ArtifactError: It is too large, not UTF-8, not JSON, or nested too deeply.
    """
    text = read_json_text(path, label)

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is not a JSON number")

    def whole(text: str) -> int:
        if len(text) > MAX_DIGITS:
            raise ValueError(f"a whole number of {len(text)} digits")
        return int(text)

    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text} is out of range")
        return value

    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite, parse_int=whole)
    except (ValueError, RecursionError) as exc:
        raise ArtifactError(
            f"{label or path} is not valid JSON ({exc}).", hint="It may be truncated; make it again."
        ) from exc


def read_json_text(path: Path, label: str | None = None, *, max_bytes: int = MAX_BYTES) -> str:
    """Read the text of a JSON file; a byte order mark of UTF-8 is dropped.

    Args:
        path: The file.
        label: What to call it where its content is at fault; the path if None.
        max_bytes: A larger file is refused before it is read.

    Raises:
        InputError: The file is missing or unreadable.
        ArtifactError: It is too large, or not UTF-8.
    """
    require_file(path, "a JSON file")
    if path.stat().st_size > max_bytes:
        ours = " and cannot be one of ours" if max_bytes == MAX_BYTES else ""
        raise ArtifactError(
            f"{label or path} is larger than {max_bytes >> 20} MiB{ours}.",
            hint="Split it, and give the parts one by one." if not ours else None,
        )
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InputError(f"{path} cannot be read ({exc.strerror}).", hint="Check the file.") from exc
    for mark, encoding in _OTHER_MARKS:
        if data.startswith(mark):
            raise ArtifactError(
                f"{label or path} is {encoding} text, as its byte order mark says, and JSON is UTF-8.",
                hint="Save it as UTF-8.",
            )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ArtifactError(
            f"{label or path} is not UTF-8 text ({exc.reason} at byte {exc.start}).",
            hint="Save it as UTF-8; if it was UTF-8, it is damaged.",
        ) from exc
