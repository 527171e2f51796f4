"""Hooks of mkdocs: documents link to each other as they lie in the repository, and so they do on the site.

Files outside of ``docs/`` that are linked to (the README, results of benchmarks, schemas) come along below
``repository/``, so that ``mkdocs build --strict`` checks every link.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

ROOT = Path(__file__).parents[1]
BELOW = "repository"

_LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")


def on_files(files: Any, config: Any) -> Any:
    """Add what the documents link to, and what those link to."""
    from mkdocs.structure.files import File

    known = {file.src_uri for file in files}
    waiting = [Path(f"docs/{uri}") for uri in sorted(known) if uri.endswith(".md")]
    while waiting:
        for linked in _linked(waiting.pop()):
            place = _on_site(linked)
            if place in known or not (ROOT / linked).is_file():
                continue
            known.add(place)
            files.append(File.generated(config, place, abs_src_path=str(ROOT / linked)))
            if linked.endswith(".md"):
                waiting.append(Path(linked))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links of the repository into links of the site."""
    here = page.file.src_uri
    lies = here.removeprefix(f"{BELOW}/") if here.startswith(f"{BELOW}/") else f"docs/{here}"

    def turned(found: re.Match[str]) -> str:
        target = normpath(join(dirname(lies), found[2]))
        if (ROOT / target).is_dir():
            return found[0].replace(found[2], relpath(f"{BELOW}/benchmarks/results/README.md", dirname(here)))
        return f"{found[1]}{relpath(_on_site(target), dirname(here) or '.')}{found[3] or ''}{found[4]}"

    return _LINK.sub(turned, markdown)


def _linked(document: Path) -> list[str]:
    text = (ROOT / document).read_text("utf-8")
    places = (normpath(join(dirname(document.as_posix()), found[2])) for found in _LINK.finditer(text))
    return [place + ("/README.md" if os.path.isdir(ROOT / place) else "") for place in places]


def _on_site(path: str) -> str:
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{BELOW}/{path}"
