r"""Untrusted text, made safe for where it goes: a terminal, HTML, Markdown, a cell of CSV.

Names of classes, files and hosts, metadata of networks and messages of libraries come from elsewhere. Each
medium has its own way to be steered by them, so each has one function here, and whoever writes into that
medium uses it. JSON needs none: its writer escapes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of what no one sees: controls, formats (such as bidi overrides), lone surrogates,
separators of lines and paragraphs."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# Strings, not compiled: what needs no Markdown shall not wait for it.
_SPECIAL = (
    r"(?i)[\\`*\[\]|<>]|(?<=\])\(|(?<![^\W_])_|_(?![^\W_])"  # Markdown's own
    r"|(?P<parted>[@#!%~&$](?=[\w\"])|\bGH-(?=\d)|:(?=//)|(?<=\bwww)(?=\.))"  # mentions and the like
    r"|[#~&$]"
)
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "$": "&#36;"}
_GAP = "&#8203;"
"""A space without width: it parts what a forge would take for a mention, a reference or an address."""
_ESCAPED = frozenset("\\`*[](|_#~")

_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""First characters that spreadsheets take for a formula, their full-width forms as well (OWASP, *CSV
Injection*)."""


class Markup(str):
    """Text that is HTML or Markdown already, and is not escaped again."""

    __slots__ = ()


def visible(text: str, *, keep: str = "") -> str:
    r"""Return a text that cannot steer a terminal: what is not seen is written out, as ``\x1b``.

    A byte of a file name that is not UTF-8 is shown as that byte.

    Args:
        text: Anything.
        keep: Characters that stay as they are, such as line feeds of our own.
    """
    if text.isprintable():
        return text
    return "".join(c if c in keep or unicodedata.category(c) not in _UNSEEN else _written(c) for c in text)


def _written(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds such a byte (PEP 383)
        code -= 0xDC00
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shell_words(*words: str) -> str:
    r"""Return a command's words so that they can be typed; what is not seen is written as in ``$'\x1b'``.

    That is how bash, zsh and POSIX.1-2024's sh read it.
    """
    import shlex

    return " ".join(shlex.quote(word) if visible(word) == word else _dollar_quoted(word) for word in words)


def _dollar_quoted(word: str) -> str:
    def written(character: str) -> str:
        if character in "\\'":
            return f"\\{character}"
        if 0x80 <= ord(character) < 0x100 and visible(character) != character:  # \x would be a byte
            return f"\\u{ord(character):04x}"
        return visible(character)

    return f"$'{''.join(map(written, word))}'"


def html_text(text: str) -> str:
    """Return a text for HTML, between tags or in a quoted attribute; :class:`Markup` stays as it is."""
    from html import escape

    return text if isinstance(text, Markup) else escape(visible(text))


def markdown_text(text: str) -> str:
    """Return a text for Markdown inside of a line or a table's cell; :class:`Markup` stays as it is.

    No HTML, link, picture, emphasis, code, formula or new line comes of it, and on a forge nobody is
    mentioned and no issue is referred to.
    """
    if isinstance(text, Markup):
        return text
    return re.sub(_SPECIAL, _quoted, visible(text))


def _quoted(found: re.Match[str]) -> str:
    mark = found[0]
    quoted = _ENTITIES.get(mark, f"\\{mark}" if mark in _ESCAPED else mark)
    return f"{quoted}{_GAP}" if found["parted"] is not None else quoted


def csv_text(value: object) -> object:
    """Return a value for a cell of CSV: a text that a spreadsheet would compute gets a quote in front.

    Numbers stay numbers. Delimiters and quotes are for the writer to quote.
    """
    if not isinstance(value, str):
        return value
    plain = visible(value)
    return f"'{plain}" if len(plain) > 1 and plain.lstrip().startswith(_FORMULA) else plain


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return which of the known words was probably meant, in any case, or None if none is near."""
    from difflib import get_close_matches

    by_plain = {one.casefold(): one for one in known}
    found = get_close_matches(word.casefold(), by_plain, n=1, cutoff=0.6)
    return by_plain[found[0]] if found else None
