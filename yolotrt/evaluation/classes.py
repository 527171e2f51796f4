"""Which category of the annotations each class of a model is; they match by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from yolotrt.arrays import I64
from yolotrt.data.formats.annotated import plain_name


@dataclass(frozen=True)
class ClassMap:
    """Classes of a model among categories.

    Attributes:
        category: (classes,) category id of each class; -1 for one that is not annotated.
        same: The category that stands for another of the same name, by category id.
    """

    category: I64
    same: dict[int, int]

    def joined(self, categories: I64) -> I64:
        """Return (n,) category ids with each replaced by the one that stands for it."""
        if not self.same:
            return categories
        result: I64 = categories.copy()
        for key, other in self.same.items():
            result[categories == key] = other
        return result

    @property
    def measured(self) -> list[int]:
        """Category ids that the model knows, ascending."""
        return sorted(set(self.category[self.category >= 0].tolist()))


def map_classes(categories: Mapping[int, str], names: Sequence[str]) -> ClassMap:
    """Match a model's classes to categories.

    Categories of one name are one class. Names that differ in case, or in how words are parted, are one
    as well, except where the model itself has a class for each.

    Args:
        categories: Names by category id.
        names: Class names of the model, by index.
    """
    exact: dict[str, int] = {}
    same: dict[int, int] = {}
    for key in sorted(categories):
        first = exact.setdefault(categories[key], key)
        if first != key:
            same[key] = first
    plain: dict[str, set[str]] = {}
    for name in names:
        plain.setdefault(plain_name(name), set()).add(name)
    chosen: dict[str, int] = {name: exact[name] for name in names if name in exact}
    for name, key in exact.items():
        known = plain.get(plain_name(name), set())
        if name in known or len(known) != 1:
            continue
        (only,) = known
        first = chosen.setdefault(only, key)
        if first != key:
            same |= dict.fromkeys((key, *(k for k, v in same.items() if v == key)), first)
    category = np.array([chosen.get(name, -1) for name in names], np.int64)
    return ClassMap(category, same)
