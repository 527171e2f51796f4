"""Types and signatures of pybind11 bindings, read from the first lines of their docstrings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_OVERLOAD = re.compile(r"^\d+\. (?=\w+\()", re.M)
_RENAMED = {"IParserError": "ParserError"}
_PLAIN = {
    "None", "bool", "int", "float", "str", "bytes", "list", "tuple", "dict", "object", "capsule", "Dims",
    "Buffer", "CapsuleType",
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    name: str
    required: bool


@dataclass(frozen=True)
class Signature:
    """One overload, without ``self``."""

    parameters: tuple[Parameter, ...]
    result: str

    def problem(self, positional: int, keywords: list[str]) -> str | None:
        """Say why a call does not fit, or None."""
        if positional > len(self.parameters):
            return f"takes {len(self.parameters)} arguments, not {positional}"
        rest = self.parameters[positional:]
        unknown = [k for k in keywords if k not in {p.name for p in rest}]
        if unknown:
            return f"has no argument {', '.join(unknown)}"
        missing = [p.name for p in rest if p.required and p.name not in keywords]
        return f"needs {', '.join(missing)}" if missing else None


def signatures(function: Any) -> list[Signature]:
    """Return all overloads of a bound function; empty if its docstring tells none."""
    text = (function.__doc__ or "").strip()
    if "Overloaded function." in text:
        return [s for part in _OVERLOAD.split(text)[1:] if (s := _parse(part)) is not None]
    found = _parse(text)
    return [found] if found is not None else []


def result_of_property(value: property) -> str | None:
    """Return the type of a property's value, or None if it is not told."""
    text = (value.fget.__doc__ or "").strip() if value.fget else ""
    match = re.match(r"\(.*\) ->\s*(.+)", text)
    return short_name(match[1]) if match else None


def short_name(text: str) -> str:
    """Return the class name in a type as pybind11 or C++ writes it."""
    outer = text.strip().split("[")[0]
    name = re.split(r"\.|::", outer)[-1]
    return _RENAMED.get(name, name)


def is_plain(name: str) -> bool:
    """Whether a type is one of Python's own, about which nothing needs checking."""
    return name in _PLAIN


def _parse(text: str) -> Signature | None:
    line = text.splitlines()[0] if text else ""
    match = re.match(r"\w+\((.*)\) -> (.+)$", line)
    if match is None:
        return None
    parameters = [_parameter(p) for p in _split(match[1]) if p and not p.startswith("self")]
    return Signature(tuple(parameters), short_name(match[2]))


def _parameter(text: str) -> Parameter:
    return Parameter(re.split(r"[:=]", text)[0].strip(), "=" not in re.sub(r"<[^>]*>", "<>", text))


def _split(text: str) -> list[str]:
    """Split at commas outside brackets."""
    parts, depth, current = [], 0, ""
    for char in text:
        depth += {"[": 1, "(": 1, "<": 1, "]": -1, ")": -1, ">": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += char
    return [*parts, current.strip()]
