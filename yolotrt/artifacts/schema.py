"""The JSON Schema (draft 2020-12) of a document, made from its dataclasses and their docstrings."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import resources
from typing import Any, get_args, get_type_hints

import msgspec

from yolotrt.artifacts.documents import Document

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_ROLE = re.compile(r":\w+:`~?([^`]*)`")


def schema(document: Document[Any]) -> dict[str, Any]:
    """Return the schema of what a document's writer makes.

    It is stricter than the reader, which passes over further fields and takes those of earlier versions:
    each object has all of its fields and no other ones. Descriptions are those of the classes' attributes.
    """
    _, components = msgspec.json.schema_components([document.type], ref_template="#/$defs/{name}")
    about = {found.__name__: found for found in _dataclasses(document.type, set())}
    for name, part in components.items():
        if name in about:
            _complete(part, about[name])
    own = components.pop(document.type.__name__)
    marks = {"format": {"const": document.format}, "version": {"const": document.version}}
    return {
        "$schema": DRAFT,
        "$id": f"urn:{document.format}:{document.version}",
        **own,
        "title": document.what,
        "required": [*marks, *own["required"]],
        "properties": {**marks, **own["properties"]},
        "$defs": dict(sorted(components.items())),
    }


def schema_text(document: Document[Any]) -> str:
    """Return the text of a schema's file."""
    return json.dumps(schema(document), indent=1) + "\n"


def schema_name(document: Document[Any]) -> str:
    """Return the name of a schema's file."""
    return document.format.replace("yolotrt.", "").replace("yolotrt-", "") + ".schema.json"


def published(document: Document[Any]) -> str:
    """Return the text of the schema that the package carries, for applications that read our files."""
    folder = resources.files("yolotrt") / "schemas"
    return (folder / schema_name(document)).read_text(encoding="utf-8")


def _complete(part: dict[str, Any], found: type) -> None:
    """Demand all fields, allow no others, and describe each."""
    doc = inspect.getdoc(found) or ""
    part["description"] = doc.split("\n", 1)[0]
    told = {name: " ".join(_ROLE.sub(r"\1", text).split()) for name, text in _attributes(doc)}
    properties = part.get("properties", {})
    for name, value in properties.items():
        value.pop("default", None)
        if name in told:
            value["description"] = told[name]
    part["required"] = list(properties)
    part["additionalProperties"] = False


def _attributes(doc: str) -> Iterator[tuple[str, str]]:
    """Yield names and texts of the section ``Attributes:`` of a docstring in Google's style."""
    _, _, section = doc.partition("\nAttributes:\n")
    for found in _ATTRIBUTE.finditer(section):
        yield found[1], found[2]


def _dataclasses(hint: Any, seen: set[Any]) -> Iterator[type]:
    """Yield the dataclasses that a type is made of."""
    if is_dataclass(hint) and isinstance(hint, type):
        if hint in seen:
            return
        seen.add(hint)
        yield hint
        for inner in get_type_hints(hint, include_extras=True).values():
            yield from _dataclasses(inner, seen)
    for inner in get_args(hint):
        yield from _dataclasses(inner, seen)
