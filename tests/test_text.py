"""Untrusted text in each medium: it is shown, and steers nothing."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.bench.fakes import machine, result_of
from yolotrt.bench.compare import compare
from yolotrt.bench.result import RunResult
from yolotrt.bench.settings import Settings
from yolotrt.machine.environment import EngineRecord
from yolotrt.machine.nvml import GpuState
from yolotrt.report.markdown import comparison_markdown, result_markdown
from yolotrt.report.page import page
from yolotrt.report.spreadsheet import to_csv
from yolotrt.text import Markup, csv_text, html_text, markdown_text, shell_words, visible

FAST = [0.010, 0.011, 0.012] * 10
EVIL = (
    "<img src=x onerror=y>[click](http://evil.example) ![p](http://evil.example/p.png) @everyone #12 GH-7 "
    "a/b#3 `code` | \"quoted\" 'x' **bold** $x$ www.evil.example\n\n# heading\r\x1b]8;;http://evil\x07\x9b31m\u202e"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name.jpg", "plain name.jpg"),
        ("Größe 日本\u3000語 \U0001f600", "Größe 日本\u3000語 \U0001f600"),
        ("a\x1b[31mb\x07", "a\\x1b[31mb\\x07"),
        ("two\nlines\r\tand\x7f", "two\\nlines\\r\\tand\\x7f"),
        ("\x9b1m\u202egpj.exe\u2066\u200b", "\\x9b1m\\u202egpj.exe\\u2066\\u200b"),
        ("\u2028\u2029\U000e0041", "\\u2028\\u2029\\U000e0041"),
        ("latin-\udce9.jpg", "latin-\\xe9.jpg"),
    ],
)
def test_what_is_not_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_no_text_steers_a_terminal(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    shown.encode()  # lone surrogates, too
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", shown)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    "word", ["a b", "plain", "$(id) `x` 'y' \\\\", "a\nb\x1b[31m'c'\\d\te", "\u202e\x9b\x85 \udcff\udcfe1"]
)
def test_a_command_can_be_typed_as_it_stands(word: str) -> None:
    written = shell_words("printf", "%s", word)
    assert visible(written) == written
    done = subprocess.run(["bash", "-c", written], capture_output=True, env={"LC_ALL": "C.UTF-8"})
    assert done.stdout == os.fsencode(word)


@given(st.text())
def test_html_shows_the_text_and_no_more(text: str) -> None:
    class Reader(HTMLParser):
        texts: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert (tag, [name for name, _ in attrs]) == ("b", ["title"])
            assert attrs[0][1] == visible(text)

    Reader().feed(f'<b title="{html_text(text)}">{html_text(text)}</b>')
    assert html.unescape(html_text(text)) == visible(text)


MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
EAGER = st.text(alphabet="`*_~[]()<>!#@&$|\\\\:/.-+=\"'\n a1w;", max_size=25)
"""Texts of nothing but what Markdown looks for."""


@given(st.one_of(st.text(), EAGER))
@example("__0__")
def test_markdown_shows_the_text_and_no_more(text: str) -> None:
    """By a reader of Markdown: a line and a cell hold the text, and nothing else."""
    written = markdown_text(text)
    found: list[str] = []
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)

        def handle_data(self, data: str) -> None:
            found.append(data)

    def read(source: str) -> str:
        found.clear()
        tags.clear()
        Reader().feed(MARKDOWN.render(source))
        return "".join(found).replace("\u200b", "").strip()

    shown = visible(text)
    assert read(f"Name: {written}.") == f"Name: {shown}."
    assert tags == ["p"]
    row = read(f"| a | b |\n| --- | --- |\n| x{written}x | c |\n")
    assert tags == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]
    assert f"x{shown}x" in row


def test_markup_is_not_escaped_again() -> None:
    assert html_text(Markup("<b>x</b>")) == "<b>x</b>"
    assert markdown_text(Markup("**x**")) == "**x**"


@pytest.mark.parametrize("name", ["yolo11n-seg.int8.onnxruntime.onnx", "end_to_end", "95 % of 3 (a), b: c/d"])
def test_usual_names_stay_readable_in_markdown(name: str) -> None:
    assert markdown_text(name) == name


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a|b", "a\\|b"),
        ("a\\|b", "a\\\\\\|b"),
        ("@user's", "@&#8203;user's"),
        ("see #12, GH-12", "see \\#&#8203;12, GH-&#8203;12"),
        ("&commat;user", "&amp;&#8203;commat;user"),
        ("http://x.example", "http:&#8203;//x.example"),
        ("www.x.example", "www&#8203;.x.example"),
        ("<!-- x -->", "&lt;!-- x --&gt;"),
        ("a\n\n# b", "a\\\\n\\\\n\\# b"),
        ("_a_ *b* ~c~", "\\_a\\_ \\*b\\* \\~&#8203;c\\~"),
    ],
)
def test_what_markdown_would_take_for_more_than_text(text: str, written: str) -> None:
    assert markdown_text(text) == written


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "  =", "\uff1d"])
def test_a_spreadsheet_computes_no_text(start: str) -> None:
    assert csv_text(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"


@pytest.mark.parametrize("value", [-1.5, 3, None, "-", "name", "a-b"])
def test_a_spreadsheet_gets_numbers_and_names_as_they_are(value: object) -> None:
    assert csv_text(value) is value or csv_text(value) == value


def hostile() -> RunResult:
    """A result of which every text is untrusted."""
    result = result_of(FAST, FAST)
    cases = tuple(
        replace(e, case=replace(e.case, engine=EVIL, mode=EVIL, dispatch=EVIL, precision=EVIL))
        for e in result.cases
    )
    return replace(
        result,
        cases=cases,
        settings=Settings(source=EVIL, frame_px=EVIL),
        environment=machine(
            cpu=EVIL,
            git=EVIL,
            yolotrt=EVIL,
            gpu=GpuState(EVIL, EVIL, None, None, None, (EVIL,)),
            packages={EVIL: EVIL},
            engines={EVIL: EngineRecord(backend=EVIL, environment={EVIL: EVIL})},
        ),
        notes=(EVIL,),
    )


def test_markdown_of_an_untrusted_result_holds_nothing_of_its_own() -> None:
    bad = hostile()
    other = replace(bad, environment=replace(bad.environment, cpu=f"{EVIL} 2"))
    missing = replace(bad, cases=bad.cases[:1])
    for text in (
        result_markdown(bad),
        comparison_markdown(compare(bad, missing)),
        comparison_markdown(compare(bad, other, across=True)),
    ):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        for raw in ("<img", "[click]", "![", "](http", "@everyone", "http://", "www.", "$x$", "**bold**"):
            assert raw not in text, raw
        assert not re.search(r"(?<!\\)`|(?<![\\&])#\d|GH-\d", text)
        assert not re.search(r"^\s*(#|>|\d+[.)] )", text, re.MULTILINE)
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_a_page_of_an_untrusted_result_holds_no_tag_of_its_own() -> None:
    text = page([hostile()])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "<img" not in text
    assert "&lt;img src=x onerror=y&gt;" in text
    found: list[tuple[str, str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend((tag, name) for name, _ in attrs)

    Reader().feed(text)
    known = {"href", "src", "lang", "charset", "name", "content", "rel", "class", "style", "value", "id"}
    drawn = {tag for tag, name in found if name not in known}
    assert drawn <= {"svg", "line", "rect", "circle", "polyline", "text"}
    assert [tag for tag, name in found if name in ("href", "src")] == ["link"]


def test_csv_of_an_untrusted_result_keeps_its_rows_and_computes_nothing() -> None:
    bad = hostile()
    case = replace(bad.cases[0].case, engine='=HYPERLINK("http://evil"),\n+1', mode="+x", dispatch="-")
    samples = {**bad.cases[0].samples, "=1+1": [0.001] * 30}
    text = to_csv([replace(bad, cases=(replace(bad.cases[0], case=case, samples=samples),))])
    head, row = csv.reader(io.StringIO(text))
    assert len(head) == len(row)
    cells = [*head, *row]
    assert row[0] == '\'=HYPERLINK("http://evil"),\\n+1'
    assert (row[2], row[3]) == ("'+x", "-")
    assert not [cell for cell in cells if cell[:1] in tuple("=+@")]


def test_a_terminal_takes_names_for_neither_markup_nor_commands(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    from yolotrt.cli.console import say, stderr, stdout, tell

    name = "[red]a[/] :car: \x1b[31m\nb"
    for console in (stdout(), stderr()):
        table = Table(name, title=name, caption=name)
        table.add_row(name)
        console.print(table)
        console.print(name)
    tell(name)
    say(name)
    done = capsys.readouterr()
    for text, count in ((done.out, 6), (done.err, 6)):
        assert text.count("[red]a[/] :car: \\x1b[31m\\nb") == count, text
        assert "\x1b" not in text


def test_progress_takes_names_for_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    from yolotrt.cli.console import progress_bars

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    with progress_bars() as progress:
        progress("evaluate [red]x[/] \x1b]0;t\x07", 1, 2)
    assert "evaluate [red]x[/] \\x1b]0;t\\x07" in screen.getvalue()
    assert "\x07" not in screen.getvalue()


def test_json_needs_no_help() -> None:
    assert visible(json.dumps(EVIL)) == json.dumps(EVIL)
