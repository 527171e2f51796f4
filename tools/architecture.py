"""Draw docs/architecture.svg: the rooms of the house, and which imports from which, as the code has it.

    python -m tools.architecture          # writes the picture

An arrow that others imply is left out: if a imports b and b imports c, nothing is drawn from a to c. Rooms
that import nothing may be imported by all; they are the ground floor, and get no arrows either. The other
rooms are laid out in layers, after Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of
Hierarchical System Structures" (IEEE Trans. SMC, 1981).
"""

from __future__ import annotations

import ast
import textwrap
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import mean
from xml.sax.saxutils import escape

import grimp

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"
PACKAGE = "yolotrt"
NOT_ROOMS = {"__main__"}

BOX_WH = (236, 80)
LETTERS = 36
"""Letters in a line of a box, in the widest of the fonts."""

PASS_WIDTH = 26
"""Room for a line that passes a row, px."""
GAP_WH = (22, 40)
MARGIN = 24
STYLE = """
text { font-family: Helvetica, Arial, sans-serif; fill: #1d2733; text-anchor: middle }
.name { font-size: 15px; font-weight: bold } .what { font-size: 11px; fill: #4a5765 }
rect { fill: #eef4fb; stroke: #46719f } .ground { fill: #f4f1ea; stroke: #97855c }
path { fill: none; stroke: #46719f; stroke-width: 1.3 }
"""

Edges = dict[str, set[str]]
Node = str | tuple[str, str, int]
"""A room, or the place where the line between two rooms passes a row."""


def imports() -> Edges:
    """Return which rooms each room imports from."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found: Edges = {}
    for module in graph.modules - {PACKAGE}:
        room = module.split(".")[1]
        others = {
            name.split(".")[1] for name in graph.find_modules_directly_imported_by(module) if "." in name
        }
        found.setdefault(room, set()).update(others - {room})
    return {room: others - NOT_ROOMS for room, others in found.items() if room not in NOT_ROOMS}


def reached(edges: Edges, room: str) -> set[str]:
    """Return the rooms that a room imports from, directly or through others."""
    return edges[room].union(*(reached(edges, other) for other in edges[room]))


def reduced(edges: Edges) -> Edges:
    """Return the edges without those that others imply."""
    return {
        room: {other for other in others if not any(other in reached(edges, via) for via in others)}
        for room, others in edges.items()
    }


def rows_of(edges: Edges) -> list[list[Node]]:
    """Return the rooms row by row from the top, with a node wherever a line passes a row."""
    level: dict[str, int] = {}

    def place(room: str) -> int:
        if room not in level:
            level[room] = 1 + max((place(other) for other in edges[room]), default=-1)
        return level[room]

    for room in sorted(edges):
        place(room)
    rows: list[list[Node]] = [[] for _ in range(max(level.values()) + 1)]
    for room in sorted(edges):
        rows[level[room]].append(room)
        for other in sorted(edges[room]):
            for between in range(level[other] + 1, level[room]):
                rows[between].append((room, other, between))
    rows.reverse()
    neighbours = _neighbours(edges, level)
    for sweep in range(12):  # the barycentre rule, down and up by turns
        down = sweep % 2 == 0
        for k in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            beside = rows[k - 1] if down else rows[k + 1]
            spot = {node: (i + 0.5) / len(beside) for i, node in enumerate(beside)}
            own = {node: (i + 0.5) / len(rows[k]) for i, node in enumerate(rows[k])}
            rows[k].sort(key=lambda n: mean([spot[m] for m in neighbours[n] if m in spot] or [own[n]]))
    return rows


def _chain(room: str, other: str, level: dict[str, int]) -> list[Node]:
    """Return the nodes of a line, from the room above to the room below."""
    return [room, *((room, other, k) for k in range(level[room] - 1, level[other], -1)), other]


def _neighbours(edges: Edges, level: dict[str, int]) -> dict[Node, list[Node]]:
    found: dict[Node, list[Node]] = defaultdict(list)
    for room in sorted(edges):
        for other in sorted(edges[room]):
            chain = _chain(room, other, level)
            for above, below in pairwise(chain):
                found[above].append(below)
                found[below].append(above)
    return found


def _width(node: Node) -> int:
    return BOX_WH[0] if isinstance(node, str) else PASS_WIDTH


def _row_width(row: list[Node]) -> int:
    return sum(map(_width, row)) + GAP_WH[0] * (len(row) - 1)


def summary(room: str) -> str:
    """Return the first sentence of a room's docstring."""
    path = ROOT / PACKAGE / room
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    return (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].replace("\n", " ").rstrip(".")


def drawn() -> str:
    """Return the picture as SVG."""
    edges = imports()
    ground = sorted(room for room, others in edges.items() if not others)
    above = reduced({room: others - set(ground) for room, others in edges.items() if room not in ground})
    rows = rows_of(above)
    (wide, high), (_, gap) = BOX_WH, GAP_WH
    width = max(_row_width(row) for row in [*rows, list[Node](ground)]) + 2 * MARGIN
    middle: dict[Node, tuple[float, float]] = {}
    for k, row in enumerate(rows):
        x = (width - _row_width(row)) / 2
        for node in row:
            middle[node] = (x + _width(node) / 2, MARGIN + k * (high + gap) + high / 2)
            x += _width(node) + GAP_WH[0]
    floor = MARGIN + len(rows) * (high + gap) + 22
    height = floor + high + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
        "<title>The rooms of yolotrt: an arrow points to what a room imports from</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" style="fill: #46719f; stroke: none"/></marker></defs>',
        f'<rect width="{width}" height="{height}" style="fill: #ffffff; stroke: none"/>',
    ]
    level = {room: len(rows) - 1 - k for k, row in enumerate(rows) for room in row if isinstance(room, str)}
    for room in sorted(above):
        for other in sorted(above[room]):
            chain = [middle[node] for node in _chain(room, other, level)]
            parts.append(_line(chain, _shift(room, other, above, middle)))
    for node, centre in sorted((n, c) for n, c in middle.items() if isinstance(n, str)):
        parts.append(_box(node, centre, ""))
    note = "Ground floor: any room may import these, and they import nothing"
    parts.append(f'<text class="what" x="{width / 2:g}" y="{floor - 12}">{note}</text>')
    left = (width - _row_width(list(ground))) / 2
    for k, room in enumerate(ground):
        parts.append(
            _box(room, (left + k * (wide + GAP_WH[0]) + wide / 2, floor + high / 2), ' class="ground"')
        )
    return "\n".join([*parts, "</svg>", ""])


def _shift(
    room: str, other: str, edges: Edges, middle: dict[Node, tuple[float, float]]
) -> tuple[float, float]:
    """Return how far from the middle of their boxes a line begins and ends, so that lines do not meet."""

    def spread(names: list[str], name: str) -> float:
        names = sorted(names, key=lambda n: middle[n][0])
        return (names.index(name) - (len(names) - 1) / 2) * min(26, 150 / len(names))

    return spread([*edges[room]], other), spread([r for r, others in edges.items() if other in others], room)


def _line(chain: list[tuple[float, float]], shift: tuple[float, float]) -> str:
    high, bend = BOX_WH[1], GAP_WH[1] / 2
    (x, y), (last_x, last_y) = chain[0], chain[-1]
    path = f"M{x + shift[0]:.0f} {y + high / 2:.0f}"
    x, y = x + shift[0], y + high / 2
    for nx, ny in chain[1:-1]:
        top, bottom = ny - high / 2, ny + high / 2
        path += f"C{x:.0f} {y + bend:.0f} {nx:.0f} {top - bend:.0f} {nx:.0f} {top:.0f}V{bottom:.0f}"
        x, y = nx, bottom
    end, top = last_x + shift[1], last_y - high / 2
    path += f"C{x:.0f} {y + bend:.0f} {end:.0f} {top - bend:.0f} {end:.0f} {top - 1:.0f}"
    return f'<path d="{path}" marker-end="url(#tip)"/>'


def _box(room: str, centre: tuple[float, float], style: str) -> str:
    (x, y), (wide, high) = centre, BOX_WH
    lines = textwrap.wrap(summary(room), LETTERS, max_lines=3, placeholder=" ...")
    words = "".join(
        f'<text class="what" x="{x:g}" y="{y - high / 2 + 40 + 14 * k:g}">{escape(line)}</text>'
        for k, line in enumerate(lines)
    )
    return (
        f'<rect{style} x="{x - wide / 2:g}" y="{y - high / 2:g}" width="{wide}" height="{high}" rx="7"/>'
        f'<text class="name" x="{x:g}" y="{y - high / 2 + 22:g}">{escape(room)}</text>{words}'
    )


if __name__ == "__main__":
    PICTURE.write_text(drawn())
    print(PICTURE.relative_to(ROOT))
