"""Check a parsed JSON document against a JSON Schema: the part of the standard that our schemas use.

Known keywords: ``type``, ``const``, ``enum``, ``minimum``, ``maximum``, ``required``, ``properties``,
``additionalProperties``, ``items``, ``oneOf`` and ``$ref`` into ``$defs``
(https://json-schema.org/draft/2020-12). Others would be ignored, so a test refuses schemas that use them.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

KEYWORDS = frozenset(
    {"type", "const", "enum", "minimum", "maximum", "required", "properties", "additionalProperties", "items"}
    | {"oneOf", "$ref", "$defs", "$schema", "$id", "title", "description"}
)

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class Unfit(ValueError):
    """Where a document does not fit its schema, and why."""


def require_fit(value: Any, schema: Mapping[str, Any], *, whole: bool = True) -> None:
    """Check a document.

    Args:
        value: What :func:`yolotrt.artifacts.documents.read_json` gave; its nesting is limited by that.
        schema: The schema.
        whole: Also demand what the schema requires to be there; else only what is there must fit.

    Raises:
        Unfit: It does not fit.
    """
    _Check(schema, whole).check(value, schema, "")


class _Check:
    def __init__(self, root: Mapping[str, Any], whole: bool) -> None:
        self._root, self._whole = root, whole

    def check(self, value: Any, schema: Any, at: str) -> None:
        if isinstance(schema, bool):
            if not schema:
                raise Unfit(f"{at or 'it'} has no place there")
            return
        if "$ref" in schema:
            self.check(value, self._root["$defs"][schema["$ref"].rpartition("/")[2]], at)
        if "oneOf" in schema:
            self._one_of(value, schema["oneOf"], at)
        _scalar(value, schema, at)
        if isinstance(value, dict):
            self._object(value, schema, at)
        elif isinstance(value, list) and "items" in schema:
            for index, item in enumerate(value):
                self.check(item, schema["items"], f"{at}/{index}")

    def _one_of(self, value: Any, schemas: list[Any], at: str) -> None:
        reasons = []
        for schema in schemas:
            try:
                self.check(value, schema, at)
            except Unfit as exc:
                reasons.append(str(exc))
        if len(reasons) != len(schemas) - 1:
            raise Unfit(reasons[-1] if reasons else f"{at} fits several ways")

    def _object(self, value: dict[str, Any], schema: Mapping[str, Any], at: str) -> None:
        missing = [name for name in schema.get("required", ()) if name not in value]
        if self._whole and missing:
            raise Unfit(f"{at or 'it'} lacks {', '.join(missing)}")
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name, item in value.items():
            self.check(item, known.get(name, others), f"{at}/{name[:40]}")


def _scalar(value: Any, schema: Mapping[str, Any], at: str) -> None:
    if "type" in schema:
        names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if not any(_is(value, name) for name in names):
            raise Unfit(f"{at or 'it'} is {reprlib.repr(value)}, not {' or '.join(names)}")
    if "const" in schema and value != schema["const"]:
        raise Unfit(f"{at} is not {schema['const']!r}")
    if "enum" in schema and not (isinstance(value, str) and value in schema["enum"]):
        raise Unfit(f"{at} is {reprlib.repr(value)}, none of {', '.join(schema['enum'])}")
    if "minimum" in schema and _is(value, "number") and value < schema["minimum"]:
        raise Unfit(f"{at} is {reprlib.repr(value)}, below {schema['minimum']}")
    if "maximum" in schema and _is(value, "number") and value > schema["maximum"]:
        raise Unfit(f"{at} is {reprlib.repr(value)}, above {schema['maximum']}")


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))
