from __future__ import annotations

import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.data.coco.world import few_certificates, serving  # noqa: F401
from yolotrt.data.fetch.http import Http, Stopped, TransferSettings
from yolotrt.data.fetch.partial import Partial
from yolotrt.data.fetch.pool import in_parallel
from yolotrt.data.fetch.proxy import Proxy, proxy_of
from yolotrt.data.fetch.response import Piece, TransferFailed
from yolotrt.errors import EnvironmentFault

DATA = bytes(range(256)) * 400
LARGE = DATA * 20
QUICK = TransferSettings(connections=4, attempts=4, backoff_s=0.01, connect_s=2.0, stall_s=0.3)


class Fetcher:
    """One download into a folder, with its bookkeeping."""

    def __init__(self, folder: Path, settings: TransferSettings = QUICK) -> None:
        self.stop = threading.Event()
        self.http = Http(settings, self.stop)
        self.partial = Partial(folder / "file.part")
        self.moved = 0

    def get(self, url: str, limit: int = 10**6, piece: Piece | None = None) -> bytes:
        self.http.download(url, self.partial, self.count, limit=limit, piece=piece)
        return self.partial.path.read_bytes()

    def count(self, number: int) -> None:
        self.moved += number


@pytest.fixture
def fetcher(tmp_path: Path):
    fetcher = Fetcher(tmp_path)
    yield fetcher
    fetcher.http.close()


def once(name: str, times: int = 1):
    return lambda _path, nth: name if nth < times else None


@pytest.mark.parametrize(
    "fault",
    ["503", "429", "500", "drop", "reset", "long", "stall", "redirect", "unsized", "chunked", "slow"],
)
def test_a_fault_that_passes_is_survived(fetcher: Fetcher, fault: str) -> None:
    with serving({"/f": DATA}, fault=once(fault)) as server:
        assert fetcher.get(f"{server.url}/f") == DATA
    assert fetcher.moved == len(DATA)


def test_a_dropped_transfer_continues_where_it_stopped(fetcher: Fetcher) -> None:
    with serving({"/f": DATA}, fault=once("drop", 3)) as server:
        assert fetcher.get(f"{server.url}/f") == DATA
        assert server.sent == len(DATA)
        assert fetcher.http.received == len(DATA)


def test_a_later_process_continues_too(tmp_path: Path) -> None:
    with serving({"/f": DATA}, fault=lambda *_: "drop") as server:
        with pytest.raises(TransferFailed, match="4 attempts") as caught:
            Fetcher(tmp_path).get(f"{server.url}/f")
        assert caught.value.why == "broken"
        server.fault = lambda *_: None
        server.sent = 0
        assert Fetcher(tmp_path).get(f"{server.url}/f") == DATA
        assert server.sent == len(DATA) // 16


def test_two_versions_are_never_mixed(tmp_path: Path) -> None:
    for change in ("If-Range is understood", "the server is another one"):
        with serving({"/f": DATA}, fault=lambda *_: "drop") as server:
            with pytest.raises(TransferFailed):
                Fetcher(tmp_path).get(f"{server.url}/f")
            if change.startswith("If-Range"):
                server.files["/f"], server.fault = DATA[::-1], lambda *_: None
                assert Fetcher(tmp_path).get(f"{server.url}/f") == DATA[::-1]
        with serving({"/f": DATA[::-1]}) as other:
            assert Fetcher(tmp_path).get(f"{other.url}/f") == DATA[::-1]
        Partial(tmp_path / "file.part").discard()


def test_without_etag_and_date_nothing_is_continued(fetcher: Fetcher) -> None:
    with serving({"/f": DATA}, fault=once("drop"), validators=False) as server:
        assert fetcher.get(f"{server.url}/f") == DATA
        assert server.sent == len(DATA) * 3 // 2
    assert fetcher.moved == len(DATA)


def test_a_server_without_ranges_starts_again(fetcher: Fetcher) -> None:
    with serving({"/f": DATA}, fault=once("drop"), ranges=False) as server:
        assert fetcher.get(f"{server.url}/f") == DATA
        assert not fetcher.http.probe(f"{server.url}/f").ranges


def test_a_part_that_was_not_asked_for_is_refused(fetcher: Fetcher) -> None:
    faults = ["drop", "wrong-range"]
    with serving({"/f": DATA}, fault=lambda _p, nth: faults[nth] if nth < 2 else None) as server:
        assert fetcher.get(f"{server.url}/f") == DATA


def test_a_complete_partial_file_needs_no_request(tmp_path: Path) -> None:
    with serving({"/f": LARGE}) as server:
        Fetcher(tmp_path).get(f"{server.url}/f", limit=len(LARGE))
        server.forget()
        assert Fetcher(tmp_path).get(f"{server.url}/f", limit=len(LARGE)) == LARGE
        assert server.requests == []


def test_what_a_killed_process_had_of_a_large_file_is_continued(tmp_path: Path) -> None:
    dead, heir = tmp_path / "dead", tmp_path / "heir"
    dead.mkdir()
    fetcher = Fetcher(dead)

    def count(_number: int) -> None:
        # What lies on disk in the middle is all that a killed process leaves.
        if not heir.exists() and fetcher.partial.size > len(LARGE) // 2:
            shutil.copytree(dead, heir)

    fetcher.count = count  # type: ignore[method-assign]
    with serving({"/f": LARGE}) as server:
        fetcher.get(f"{server.url}/f", limit=len(LARGE))
        server.forget()
        assert Fetcher(heir).get(f"{server.url}/f", limit=len(LARGE)) == LARGE
        assert server.sent < len(LARGE) // 2


def test_a_small_file_that_arrived_leaves_no_mark(fetcher: Fetcher) -> None:
    with serving({"/f": DATA}, fault=once("drop")) as server:
        fetcher.get(f"{server.url}/f")
        fetcher.partial.settle(fetcher.partial.path.with_name("file"))
        assert [path.name for path in fetcher.partial.path.parent.iterdir()] == ["file"]
        fetcher.get(f"{server.url}/f")
        assert not fetcher.partial.mark()


@pytest.mark.parametrize("mark", [b"", b"[]", b"{", b'{"url": 3}', b"[" * 5000, b"\xff"])
def test_a_damaged_mark_means_starting_again(fetcher: Fetcher, mark: bytes) -> None:
    fetcher.partial.path.write_bytes(b"rubbish")
    fetcher.partial.path.with_suffix(".mark").write_bytes(mark)
    with serving({"/f": DATA}) as server:
        assert fetcher.get(f"{server.url}/f") == DATA


@pytest.mark.parametrize(
    ("fault", "why", "message"),
    [
        ("404", "refused", "HTTP 404"),
        ("403", "refused", "HTTP 403"),
        ("503", "broken", r"HTTP 503 \(4 attempts\)"),
        ("loop", "refused", "cannot be followed"),
        ("gzip", "refused", "gzip-encoded"),
        ("long", "broken", "attempts"),
        ("stall", "broken", "nothing arrived for 0.2 s"),
    ],
)
def test_a_fault_that_stays_ends_in_a_clear_error(tmp_path: Path, fault: str, why: str, message: str) -> None:
    patience = TransferSettings(attempts=4 if fault != "stall" else 2, backoff_s=0.01, stall_s=0.2)
    with (
        serving({"/f": DATA}, fault=lambda *_: fault) as server,
        pytest.raises(TransferFailed, match=message) as caught,
    ):
        Fetcher(tmp_path, patience).get(f"{server.url}/f")
    assert caught.value.why == why


def test_more_bytes_than_make_sense_are_not_taken(fetcher: Fetcher) -> None:
    with serving({"/f": DATA}) as server:
        with pytest.raises(TransferFailed, match="at most 1,000 make sense"):
            fetcher.get(f"{server.url}/f", limit=1000)
        server.fault = lambda *_: "unsized"
        with pytest.raises(TransferFailed, match="more bytes arrived"):
            fetcher.get(f"{server.url}/f", limit=1000)
    assert fetcher.partial.size == 0


def test_a_server_that_only_drips_is_given_up(tmp_path: Path) -> None:
    patience = TransferSettings(attempts=1, stall_s=0.15)
    with (
        serving({"/f": DATA}, fault=lambda *_: "drip") as server,
        pytest.raises(TransferFailed, match="bytes arrived in"),
    ):
        Fetcher(tmp_path, patience).get(f"{server.url}/f")


def test_a_piece_is_read_and_downloaded(fetcher: Fetcher) -> None:
    with serving({"/f": DATA}, fault=lambda _p, nth: "drop" if nth in (1, 3) else None) as server:
        url = f"{server.url}/f"
        resource = fetcher.http.probe(url)
        assert (resource.total, resource.ranges) == (len(DATA), True)
        assert fetcher.http.read(url, Piece(resource, 5, 100)) == DATA[5:105]
        piece = Piece(resource, 1000, 20_000)
        assert fetcher.get(url, piece=piece) == DATA[1000:21_000]
        assert fetcher.http.read(url, Piece(resource, 5, 0)) == b""


def test_a_file_that_changes_between_pieces_is_noticed(fetcher: Fetcher) -> None:
    with serving({"/f": DATA}) as server:
        url = f"{server.url}/f"
        resource = fetcher.http.probe(url)
        server.files["/f"] = DATA[::-1]
        for ask in (
            lambda: fetcher.http.read(url, Piece(resource, 5, 10)),
            lambda: fetcher.get(url, piece=Piece(resource, 5, 10)),
        ):
            with pytest.raises(TransferFailed, match="changed while it was read") as caught:
                ask()
            assert caught.value.why == "changed"


def test_no_network_is_said_so(fetcher: Fetcher) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/f"
        with pytest.raises(TransferFailed) as caught:
            fetcher.get(url)
    assert caught.value.why == "unreachable"


@pytest.mark.parametrize("host", ["a" * 300, "xn--", "[::1", "\0"])
def test_an_impossible_host_is_refused(fetcher: Fetcher, host: str) -> None:
    with pytest.raises(TransferFailed, match="cannot be followed"):
        fetcher.get(f"http://{host}/f")


def test_pauses_double_and_follow_retry_after(fetcher: Fetcher) -> None:
    pauses: list[float] = []
    fetcher.http.pause = pauses.append  # type: ignore[method-assign]
    faults = ["503", "503", "429", None]
    with serving({"/f": DATA}, fault=lambda _p, nth: faults[nth], retry_after="7") as server:
        fetcher.get(f"{server.url}/f")
    assert pauses == [0.01, 0.02, 7.0]


def test_proxy_variables_are_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({"/f": DATA}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert Fetcher(tmp_path).get("http://coco.invalid/f") == DATA
        assert proxy.requests == ["/f"]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_dead_proxy_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with socket.socket() as closed, serving({"/f": DATA}) as server:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv(variable, f"http://me:secret@{address}")
        with pytest.raises(TransferFailed) as caught:
            Fetcher(tmp_path).get(f"{server.url}/f")
        assert f"the proxy {address} of {variable} refused" in caught.value.message
        assert "secret" not in caught.value.message
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert Fetcher(tmp_path).get(f"{server.url}/f") == DATA


def test_a_server_without_a_proxy_before_it_is_not_called_one(fetcher: Fetcher) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(TransferFailed) as caught:
            fetcher.get(f"http://127.0.0.1:{closed.getsockname()[1]}/f")
    assert "proxy" not in caught.value.message


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "http://a/f", None),
        ({"HTTPS_PROXY": "p:3128"}, "https://a/f", Proxy("HTTPS_PROXY", "p:3128")),
        ({"HTTPS_PROXY": "p:3128"}, "http://a/f", None),
        ({"HTTP_PROXY": "http://p", "ALL_PROXY": "http://q"}, "http://a/f", Proxy("HTTP_PROXY", "p")),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "b,.a.org"}, "http://x.a.org/f", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "*"}, "http://a/f", None),
        ({"HTTP_PROXY": "http://p"}, "file:///a", None),
        ({"HTTP_PROXY": "http://p"}, "http://[a", None),
    ],
)
def test_which_proxy_a_request_takes(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, expected: Proxy | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == expected


def test_unusable_proxy_variables_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense://host:1")
    with pytest.raises(EnvironmentFault, match="proxy") as caught:
        Fetcher(tmp_path)
    assert "HTTP_PROXY" in (caught.value.hint or "")


def test_calling_off_ends_a_transfer_at_once_and_keeps_its_bytes(fetcher: Fetcher) -> None:
    with serving({"/f": DATA}, fault=lambda *_: "slow", drip_s=0.1) as server:
        threading.Timer(0.2, fetcher.stop.set).start()
        started = time.perf_counter()
        with pytest.raises(Stopped):
            fetcher.get(f"{server.url}/f")
        assert time.perf_counter() - started < 0.6
    assert 0 < fetcher.partial.size < len(DATA)


def test_parallel_work_gives_every_event_and_raises_what_fails() -> None:
    def work(job: int, emit) -> None:
        if job == 70:
            raise ZeroDivisionError
        emit(job)
        emit(job + 1000)

    stop = threading.Event()
    assert sorted(in_parallel(range(50), work, 4, stop)) == [*range(50), *range(1000, 1050)]
    assert list(in_parallel([], work, 4, threading.Event())) == []
    with pytest.raises(ZeroDivisionError):
        list(in_parallel(range(100), work, 4, threading.Event()))


def test_leaving_the_loop_calls_the_work_off() -> None:
    stop, begun = threading.Event(), []

    def work(job: int, emit) -> None:
        begun.append(job)
        emit(job)
        time.sleep(0.01)

    for _ in (events := in_parallel(range(1000), work, 2, stop)):
        events.close()
    assert stop.is_set()
    assert len(begun) < 20
