from __future__ import annotations

import pytest

from yolotrt.timing.trace import FrameTrace, Span


def _trace(*spans: tuple[str, int, int]) -> FrameTrace:
    return FrameTrace([Span(stage, None, begin, end) for stage, begin, end in spans])


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([(0, 10), (10, 30)], 30),  # one after another: the sum
        ([(0, 10), (0, 10)], 10),  # side by side: what the frame waited
        ([(0, 10), (5, 20)], 20),  # overlapping
        ([(0, 30), (5, 10)], 30),  # one inside the other
        ([(20, 30), (0, 10)], 20),  # out of order, with a gap
    ],
)
def test_overlapping_spans_count_once(spans: list[tuple[int, int]], seconds: int) -> None:
    assert _trace(*(("enqueue", b, e) for b, e in spans)).seconds("enqueue") == seconds / 1e9


def test_what_was_not_measured_is_none_and_never_zero() -> None:
    assert _trace(("enqueue", 0, 1)).seconds("stream_sync") is None


def test_scopes_are_kept_apart() -> None:
    trace = FrameTrace([Span("decode", 0, 0, 5, "tiles"), Span("decode", None, 5, 6, "global")])
    assert trace.seconds("decode", scope="global") == 1 / 1e9
    assert trace.seconds("decode") == 6 / 1e9


def test_a_block_that_raises_leaves_no_span() -> None:
    trace = FrameTrace()

    def fail() -> None:
        with trace.span("decode"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert trace.spans == []
