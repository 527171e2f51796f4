"""Names in the package: a class has a name of its own, and names are the terms of the field."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "yolotrt"

TERMS = {
    "promise": "accuracy bound",
    "literal": "fake quantisation",
    "race": "successive halving",
    "film": "video",
    "blame": "the layer at fault",
    "story": "table",
    "stranger": "foreign file, untrusted text",
    "whole": "global pass",
}
"""Words of our own that named things here once, and the terms that everybody knows."""

STANDARD = {
    "whole",
    "whole_number",
    "whole_numbers",
    "as_whole",
    "require_whole",
    "whole_px",
    "whole_archive",
}
"""Where a word has its plain meaning: a number without a fraction, a complete file."""


def definitions() -> Iterator[tuple[str, str, type[ast.AST]]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        yield path.stem, place, ast.Module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node.name, f"{place}:{node.lineno}", type(node)


def test_names_are_the_terms_of_the_field() -> None:
    found = {}
    for name, place, _ in definitions():
        words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
        wrong = {TERMS[stem] for word in words if (stem := word.removesuffix("s")) in TERMS}
        if wrong and name.strip("_") not in STANDARD:
            found[f"{place} {name}"] = wrong
    assert found == {}


OLD_KEYS = {"promise", "strangers", "promise_bound", "^promise_"}
"""Keys of files and of ``--json`` from before, which are still read or written."""


def test_help_messages_and_docstrings_use_the_terms_of_the_field() -> None:
    wrong = re.compile(
        r"\b(?:promis|film|blam|strangers?\b|rac(?:e|es|ed|ing)\b|stor(?:y|ies)\b)", re.IGNORECASE
    )
    found = {
        f"{path.relative_to(PACKAGE)}:{node.lineno}": node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and wrong.search(node.value)
        and node.value not in OLD_KEYS
    }
    assert found == {}
