"""Read texts of a YAML file with their places, and change them without touching anything else.

A library that loads a file and writes it back keeps comments at best, not the author's quotes, indentation
or line ends. Here the file is parsed only to learn where each value stands; the text between is copied.
"""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from yolotrt.artifacts.files import require_file
from yolotrt.errors import InputError

if TYPE_CHECKING:
    from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

MAX_BYTES = 128 << 10
"""Settings and descriptions of datasets are a few kilobytes; parsing takes seconds per megabyte."""

MOST_LEVELS = 100
"""Brackets that may be open at once."""

Scalar = str | int | bool
Key = tuple[str, ...]

_BOM = "\ufeff"
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./+@ -]*[A-Za-z0-9_]")
"""What no reader of YAML takes for anything but text."""

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""Applications that read YAML 1.1 (PyYAML) also write yes and no."""


@dataclass(frozen=True)
class YamlText:
    """A YAML file: its text, and the tree that says where everything stands.

    Attributes:
        path: The file, for messages.
        text: Its text without a byte order mark.
        root: The mapping at its top.
    """

    path: Path
    text: str
    root: MappingNode

    @classmethod
    def read(cls, path: Path) -> YamlText:
        """Read a file.

        Raises:
            InputError: It is missing, not UTF-8, not YAML, or no mapping.
        """
        require_file(path, "a YAML file")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(
                f"{path} is larger than {MAX_BYTES >> 10} KiB, the limit for YAML.",
                hint="Is it the right file?",
            )
        try:
            text = path.read_bytes().decode("utf-8").removeprefix(_BOM)
        except UnicodeDecodeError as exc:
            raise InputError(f"{path} is not UTF-8 text ({exc.reason} at byte {exc.start}).") from exc
        return cls(path, text, _compose(path, text))

    def get(self, key: Key) -> ScalarNode | None:
        """Return the node of a scalar, or None if it or a mapping above it is missing.

        Raises:
            InputError: Something else than a mapping or a scalar is in its place.
        """
        node = self._any(key)
        if node is not None and node.id != "scalar":
            raise self.error(node, key, "must be a single value")
        return cast("ScalarNode | None", node)

    def mapping(self, key: Key) -> MappingNode | None:
        """Return the node of a mapping, or None if it is missing.

        Raises:
            InputError: Something else is in its place.
        """
        node: Any = self.root
        for depth in range(len(key)):
            found = self._child(node, key[: depth + 1])
            if found is None:
                return None
            if found.id != "mapping":
                raise self.error(found, key[: depth + 1], "must be a mapping")
            node = found
        return cast("MappingNode", node)

    def boolean(self, key: Key, default: bool) -> bool:
        """Return a true or false value.

        Raises:
            InputError: It is something else.
        """
        node = self.get(key)
        if node is None:
            return default
        if (word := str(node.value).lower()) not in _WORDS or node.style is not None:
            raise self.error(node, key, f"must be true or false, not {node.value!r}")
        return _WORDS[word]

    def whole_number(self, key: Key, default: int) -> int:
        """Return a positive whole number.

        Raises:
            InputError: It is something else.
        """
        node = self.get(key)
        if node is None:
            return default
        if not re.fullmatch(r"[1-9][0-9]{0,8}", str(node.value)):
            raise self.error(node, key, f"must be a whole number above 0, not {node.value!r}")
        return int(node.value)

    def string(self, key: Key) -> str | None:
        """Return a text, or None if it is missing or null."""
        node = self.get(key)
        return None if node is None or str(node.tag).endswith(":null") else str(node.value)

    def strings(self, key: Key) -> list[str]:
        """Return the texts of a list, or of a single value; none if it is missing or null.

        Raises:
            InputError: Something else than a text is in its place or in the list.
        """
        node = self._any(key)
        if node is None or node.id == "scalar":
            text = None if node is None else self.string(key)
            return [] if text is None else [text]
        if node.id != "sequence" or any(item.id != "scalar" for item in node.value):
            raise self.error(node, key, "must be a text or a list of texts")
        return [str(item.value) for item in node.value]

    def entries(self, key: Key) -> list[tuple[str, str]]:
        """Return the texts of a mapping with their keys, or those of a list with their places from 0.

        Raises:
            InputError: Something else is in its place.
        """
        node = self._any(key)
        if node is None or node.id != "mapping":
            return [(str(place), text) for place, text in enumerate(self.strings(key))]
        if any(part.id != "scalar" for pair in node.value for part in pair):
            raise self.error(node, key, "must be a list or a mapping of texts")
        return [(str(name.value), str(value.value)) for name, value in node.value]

    def replaced(self, key: Key, value: Scalar) -> YamlText:
        """Return the file with one value changed or added; every other character stays.

        Raises:
            InputError: The place is one that cannot be edited safely, such as an alias.
        """
        node = self.get(key)
        if node is not None:
            begin, end = node.start_mark.index, node.end_mark.index
            gap = " " if begin == end else ""  # "key:" without a value
            text = self.text[:begin] + gap + _write(value) + self.text[end:]
        else:
            text = self._with_new(key, value)
        return YamlText(self.path, text, _compose(self.path, text))

    def error(self, node: Node, key: Key, what: str, *, hint: str | None = None) -> InputError:
        """Return an error that names file, line and key."""
        place = f"{self.path}:{node.start_mark.line + 1}: {'.'.join(key)}"
        return InputError(f"{place}: {what}.", hint=hint)

    def _any(self, key: Key) -> Any:
        """Return whatever node is at a key; None if it or a mapping above it is missing."""
        mapping = self.mapping(key[:-1])
        return None if mapping is None else self._child(mapping, key)

    def _child(self, mapping: Node, key: Key) -> Any:
        for name, value in mapping.value:
            if name.value == key[-1]:
                if value.start_mark.index < name.end_mark.index:
                    raise self.error(name, key, "is an alias; write its value out")
                return value
            if name.value == "<<":
                raise self.error(name, key[:-1], "is merged from elsewhere (<<); write its keys out")
        return None

    def _with_new(self, key: Key, value: Scalar) -> str:
        """Return the text with a key added as the first of its mapping, or with a new mapping at the end."""
        newline = "\r\n" if "\r\n" in self.text else "\n"
        mapping = self.mapping(key[:-1])
        if mapping is None:
            inside = self.mapping(key[:-2])
            if len(key) != 2 or inside is not self.root:
                section = ".".join(key[:-1])
                raise self.error(
                    self.root, key, "cannot be added: its section is missing", hint=f"Add {section} first."
                )
            ending = "" if self.text.endswith("\n") else newline
            return f"{self.text}{ending}{key[0]}:{newline}  {key[1]}: {_write(value)}{newline}"
        place = mapping.start_mark.index
        if mapping.flow_style:
            comma = ", " if mapping.value else ""
            return f"{self.text[: place + 1]}{key[-1]}: {_write(value)}{comma}{self.text[place + 1 :]}"
        indent = " " * mapping.start_mark.column
        return f"{self.text[:place]}{key[-1]}: {_write(value)}{newline}{indent}{self.text[place:]}"


def _deepest(text: str) -> int:
    """Return how many brackets are open at most, those in texts and comments counted as well."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _compose(path: Path, text: str) -> MappingNode:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError

    if _deepest(text) > MOST_LEVELS:  # the parser's time grows with the square of the open brackets
        raise InputError(f"{path} is nested too deeply.", hint="Write it with fewer levels.")
    try:
        # Composing gives nodes with their places. Nothing is constructed: no tag is looked up, no merge
        # key is multiplied out.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # allowed by YAML, and by its other readers
            root = YAML(typ="safe", pure=True).compose(text)
    except RecursionError as exc:
        raise InputError(f"{path} is nested too deeply.", hint="Write it with fewer levels.") from exc
    except MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        reason = str(exc.problem or exc.context).splitlines()[0]
        raise InputError(f"{path}{line}: {reason}.", hint="Correct it, and try again.") from exc
    except YAMLError as exc:
        raise InputError(f"{path} is not YAML ({str(exc).splitlines()[0]}).") from exc
    if root is None or root.id != "mapping":
        raise InputError(
            f"{path} holds no keys.", hint="It should be a mapping, with lines such as 'key: value'."
        )
    _require_distinct(path, root)
    return cast("MappingNode", root)


def _require_distinct(path: Path, root: Any) -> None:
    """Refuse a mapping that has a key twice, which composing does not mind."""
    seen: set[int] = set()
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if id(node) in seen or node.id == "scalar":
            continue
        seen.add(id(node))
        if node.id == "sequence":
            nodes += node.value
            continue
        names: set[str] = set()
        for key, value in node.value:
            if key.id == "scalar" and key.value != "<<":
                if key.value in names:
                    line = key.start_mark.line + 1
                    raise InputError(
                        f"{path}:{line}: found duplicate key {key.value[:80]!r}.",
                        hint="Keep one of the two, and try again.",
                    )
                names.add(key.value)
            nodes += (key, value)


def _write(value: Scalar) -> str:
    """Return a scalar as YAML; text is quoted (as JSON, which YAML contains) unless it is plainly text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if isinstance(value, int) or (_PLAIN.fullmatch(text) and text.lower() not in {*_WORDS, "null"}):
        return text
    return json.dumps(text, ensure_ascii=False)
