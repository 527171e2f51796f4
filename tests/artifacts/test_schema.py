from __future__ import annotations

from typing import Any

import pytest

from yolotrt.artifacts.documents import read_json
from yolotrt.artifacts.schema import KEYWORDS, Unfit, require_fit
from yolotrt.bench.result import SCHEMA


def _keywords(schema: Any, *, names: bool = False) -> set[str]:
    """Return the keywords of a schema; inside ``properties`` and ``$defs`` keys are names."""
    if isinstance(schema, list):
        return set().union(*map(_keywords, schema))
    if not isinstance(schema, dict):
        return set()
    found = set() if names else set(schema)
    for key, value in schema.items():
        if names or key not in ("const", "enum", "required"):
            found |= _keywords(value, names=not names and key in ("properties", "$defs"))
    return found


def test_our_schemas_use_only_what_is_checked() -> None:
    assert _keywords(read_json(SCHEMA)) <= KEYWORDS


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, 1, True),
        ({"type": "number"}, 0.5, "0.5"),
        ({"type": ["string", "null"]}, None, 0),
        ({"const": 2}, 2, 3),
        ({"enum": ["a", "b"]}, "a", ["a"]),
        ({"type": "number", "minimum": 0}, 0, -1e-9),
        ({"type": "number", "maximum": 1e9}, 1e9, 1e308),
        ({"items": {"type": "string"}}, ["a"], ["a", 1]),
        ({"properties": {"a": {"type": "string"}}, "additionalProperties": False}, {"a": ""}, {"b": ""}),
        ({"additionalProperties": {"type": "integer"}}, {"x": 1}, {"x": "1"}),
        ({"required": ["a"]}, {"a": None}, {}),
        ({"oneOf": [{"type": "null"}, {"$ref": "#/$defs/n"}], "$defs": {"n": {"type": "object"}}}, {}, []),
    ],
)
def test_every_keyword_lets_good_ones_through_and_no_others(
    schema: dict[str, Any], good: object, bad: object
) -> None:
    require_fit(good, schema)
    with pytest.raises(Unfit):
        require_fit(bad, schema)


def test_what_is_there_may_be_checked_without_demanding_the_rest() -> None:
    schema = {"required": ["a", "b"], "properties": {"a": {"type": "string"}}}
    require_fit({"a": "x"}, schema, whole=False)
    with pytest.raises(Unfit, match="/a is 1"):
        require_fit({"a": 1}, schema, whole=False)
