"""Tables as data: columns that know how to take and write a value; each medium renders all of them.

A column is defined once. It appears on every medium unless it names some, and where it is not told otherwise
it is headed and written in the same way on all of them; a spreadsheet gets the value itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, get_args

from yolotrt.report.figures import NOT_MEASURED

Medium = Literal["terminal", "page", "markdown", "csv"]
MEDIA: tuple[Medium, ...] = get_args(Medium)

Row = TypeVar("Row")


def as_it_is(value: Any) -> Any:
    """Return the value."""
    return value


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of a table.

    Attributes:
        name: Its heading.
        take: Returns the value of a row; None where it was not measured.
        text: Writes a value for people.
        unit: Its unit, which headings say behind the name; empty where the title says it for all columns.
        number: Turns a value into what a spreadsheet computes with.
        words: It holds words: on the left, and breakable between them; figures are on the right and whole.
        rank: On a narrow terminal those with the highest rank are the first to go; 0 always stays.
        media: Where it appears.
        heads: Other headings, by medium.
        texts: Other ways to write a value, by medium.
        key: It says what the row is about; the others hold what was found.
    """

    name: str
    take: Callable[[Row], Any]
    text: Callable[[Any], str] = str
    unit: str = ""
    number: Callable[[Any], Any] = as_it_is
    words: bool = False
    rank: int = 0
    media: Sequence[Medium] = MEDIA
    heads: Mapping[Medium, str] = field(default_factory=dict)
    texts: Mapping[Medium, Callable[[Any], str]] = field(default_factory=dict)
    key: bool = False

    def head(self, medium: Medium) -> str:
        """Return its heading."""
        if medium in self.heads:
            return self.heads[medium]
        if medium == "csv":
            return "_".join(re.findall(r"[\w%]+", f"{self.name} {self.unit}"))
        return f"{self.name}, {self.unit}" if self.unit else self.name

    def cell(self, row: Row, medium: Medium) -> str:
        """Return what people read of a row."""
        value = self.take(row)
        return NOT_MEASURED if value is None else self.texts.get(medium, self.text)(value)

    def value(self, row: Row) -> Any:
        """Return what a spreadsheet gets of a row; None is an empty cell."""
        value = self.take(row)
        return None if value is None else self.number(value)


@dataclass(frozen=True)
class RowTable(Generic[Row]):
    """A table: the same on every medium, but for the columns that a medium leaves out.

    Attributes:
        title: Stands above it.
        columns: In their order.
        rows: What the columns take their values from.
    """

    title: str
    columns: Sequence[Column[Row]]
    rows: Sequence[Row]

    def shown(self, medium: Medium) -> list[Column[Row]]:
        """Return the columns that a medium shows."""
        return [column for column in self.columns if medium in column.media]
