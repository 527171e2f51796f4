"""The distribution that the package comes in: its version, how its extras are installed, who else claims it.

The package index has another project called ``yolotrt``, with a package of that name; so the distribution has
a name of its own, and nothing here or in the documentation installs that other one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import Distribution, PackagePath

NAME = "yolotrt-seg"
PACKAGE = "yolotrt"

__version__ = "0.1.0"

_FOLDER = Path(__file__).resolve().parent
_EXTRA = r"""\bextra\s*==\s*["']([\w-]+)["']"""
_OURSELVES = rf"{NAME}\[([\w,-]+)\]"


def install_hint(extra: str) -> str:
    """Return a command that installs what an extra needs, for the way in which yolotrt itself was installed.

    From a checkout that is the extra; beside a wheel these are the extra's packages, because the name in
    front of an extra is looked up in the index, which does not have it.
    """
    import shlex

    checkout = _FOLDER.parent
    packages = [] if _is_checkout(checkout) else list(dict.fromkeys(_requirements(extra)))
    if packages:
        return f"pip install {' '.join(map(shlex.quote, packages))}"
    here = f"cd {shlex.quote(str(checkout))} && " if _is_checkout(checkout) and Path.cwd() != checkout else ""
    return f"{here}pip install -e '.[{extra}]'"


def _is_checkout(folder: Path) -> bool:
    try:
        return f'name = "{NAME}"' in (folder / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _requirements(extra: str) -> Iterator[str]:
    """Yield the packages of an extra, those of other extras that it names included."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        wanted = requires(NAME) or []
    except PackageNotFoundError:
        return
    for line in wanted:
        package, _, marker = line.partition(";")
        if (found := re.search(_EXTRA, marker)) is None or found[1] != extra:
            continue
        if inner := re.fullmatch(_OURSELVES, package.strip()):
            for other in inner[1].split(","):
                yield from _requirements(other)
        else:
            yield package.strip()


def rivals() -> list[str]:
    """Return name and version of every other distribution that has, or is called like, the package."""
    from importlib.metadata import distributions

    found = (entry for entry in distributions() if _name(entry) != NAME and _claims(entry))
    return list(dict.fromkeys(f"{_name(entry)} {entry.version}" for entry in found))


def changed_files() -> list[str]:
    """Return the files of the package that are gone or not as they were installed; none in a checkout."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        ours = distribution(NAME).files or []
    except PackageNotFoundError:
        return []
    return sorted(str(file) for file in ours if file.parts[0] == PACKAGE and _has_changed(file))


def _name(entry: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", str(entry.metadata["Name"])).lower()


def _claims(entry: Distribution) -> bool:
    return _name(entry) == PACKAGE or any(file.parts[0] == PACKAGE for file in entry.files or ())


def _has_changed(file: PackagePath) -> bool:
    import base64
    import hashlib

    if file.hash is None:
        return False
    try:
        digest = hashlib.new(file.hash.mode, Path(str(file.locate())).read_bytes()).digest()
    except OSError:
        return True
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value
