"""The small parts of the TensorRT backend that need no TensorRT."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrt.backends.profiles import Profile, batch_sizes, parse_profiles
from yolotrt.backends.registry import availabilities, choose
from yolotrt.backends.tensorrt.builder import interruptible
from yolotrt.backends.tensorrt.implicit import _with_header
from yolotrt.backends.tensorrt.library import Product, open_library
from yolotrt.backends.tensorrt.log import MessageLog, new_logger
from yolotrt.backends.tensorrt.progress import BuildProgress
from yolotrt.backends.tensorrt.ultralytics import split
from yolotrt.errors import EnvironmentFault, MissingDependency, UsageError


class TestProfiles:
    def test_sizes_and_ranges(self) -> None:
        assert parse_profiles("8,1,4,4") == (Profile(1, 1, 1), Profile(4, 4, 4), Profile(8, 8, 8))
        assert parse_profiles("1-32") == (Profile(1, 32, 32),)
        assert parse_profiles("1-8-32, 2") == (Profile(1, 8, 32), Profile(2, 2, 2))
        assert batch_sizes(parse_profiles("1,3-5")) == (1, 3, 4, 5)

    @pytest.mark.parametrize(
        "text", ["", "0", "-1", "8-4", "1-2-3-4", "a", "1,,2", "1025", "²", "1.5", "2--4"]
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError, match="--batch"):
            parse_profiles(text)

    @given(st.sets(st.integers(1, 1024), min_size=1, max_size=8))
    @settings(deadline=None, derandomize=True)
    def test_written_profiles_read_back(self, sizes: set[int]) -> None:
        profiles = parse_profiles(",".join(map(str, sizes)))
        assert parse_profiles(",".join(map(str, profiles))) == profiles
        assert batch_sizes(profiles) == tuple(sorted(sizes))


class TestUltralyticsHeader:
    HEADER = json.dumps({"names": {"0": "cat", "10": "dog's"}, "stride": 32, "half": True}).encode()

    def test_the_header_is_taken_off(self) -> None:
        metadata, plan = split(len(self.HEADER).to_bytes(4, "little") + self.HEADER + b"plan")
        assert plan == b"plan"
        assert metadata == {"names": "{0: 'cat', 10: \"dog's\"}", "stride": "32", "half": "True"}

    @given(st.binary(max_size=300))
    @settings(deadline=None, derandomize=True)
    def test_other_files_are_left_alone(self, data: bytes) -> None:
        metadata, plan = split(data)
        assert plan == data or metadata or data[4:6] == b"{}"

    def test_a_damaged_header_is_no_header(self) -> None:
        broken = len(self.HEADER).to_bytes(4, "little") + b"{" + self.HEADER[:-1]
        assert split(broken) == ({}, broken)


class TestLog:
    def test_errors_are_kept_warnings_are_said_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        log = MessageLog("TensorRT")
        with log.session() as said:
            log("ERROR", "first\nmore")
            log("ERROR", "second")
            log("WARNING", "slow")
            log("WARNING", "slow")
            log("INFO", "built")
        assert said.first_error() == "first"
        assert log.last_error() == "second"
        assert capsys.readouterr().err == "warning: TensorRT: slow\n"

    def test_everything_goes_to_the_file_also_when_the_work_fails(self, tmp_path: Path) -> None:
        log = MessageLog("TensorRT")

        def fail() -> None:
            with log.session(tmp_path / "build.log"):
                log("VERBOSE", "tactic 1")
                log("ERROR", "no tactic")
                raise ValueError("failed")

        with pytest.raises(ValueError, match="failed"):
            fail()
        assert (tmp_path / "build.log").read_text() == "[VERBOSE] tactic 1\n[ERROR] no tactic\n"
        assert [p.name for p in tmp_path.iterdir()] == ["build.log"]

    def test_ctrl_c_inside_the_library_ends_the_session(self, capsys: pytest.CaptureFixture[str]) -> None:
        class Api:
            class ILogger:
                def __init__(self) -> None:
                    pass

                def log(self, severity: object, message: str) -> None:
                    raise NotImplementedError

        class Interrupted(MessageLog):
            def __call__(self, severity: str, message: str) -> None:
                raise KeyboardInterrupt

        log = Interrupted("TensorRT")
        logger = new_logger(Api, log)
        with pytest.raises(KeyboardInterrupt), log.session():
            logger.log(SimpleNamespace(name="INFO"), "parsing")  # nothing leaves the logger itself
        with log.session():
            pass

    def test_a_session_begins_with_a_clean_slate(self) -> None:
        log = MessageLog("TensorRT")
        log("ERROR", "old")
        with log.session() as said:
            pass
        assert said.errors == []


class TestProgress:
    def test_long_phases_and_the_outermost_are_told(self) -> None:
        told: list[tuple[str, int, int]] = []
        progress = BuildProgress(lambda *report: told.append(report))
        progress.start("Building engine", None, 6)
        progress.start("Short", "Building engine", 3)
        progress.start("Timing graph nodes", "Building engine", 40)
        assert progress.step("Short", 0)
        assert progress.step("Timing graph nodes", 9)
        progress.finish("Timing graph nodes")
        progress.finish("Building engine")
        assert told == [
            ("building engine", 0, 6),
            ("timing graph nodes", 0, 40),
            ("timing graph nodes", 10, 40),
            ("timing graph nodes", 40, 40),
            ("building engine", 6, 6),
        ]

    def test_a_failing_listener_cancels_the_build_and_is_heard(self) -> None:
        def listener(*_: object) -> None:
            raise OSError("terminal gone")

        progress = BuildProgress(listener)
        progress.start("Building engine", None, 6)
        assert not progress.step("Building engine", 0)
        assert isinstance(progress.failure, OSError)


class TestInterruption:
    def test_the_result_and_the_failure_come_through(self) -> None:
        assert interruptible(lambda: 42, lambda: None) == 42
        with pytest.raises(ZeroDivisionError):
            interruptible(lambda: 1 // 0, lambda: None)

    def test_ctrl_c_cancels_and_waits_for_the_work_to_end(self) -> None:
        cancelled, ended = threading.Event(), threading.Event()

        def work() -> None:
            cancelled.wait(10)
            time.sleep(0.05)
            ended.set()

        main = threading.main_thread().ident
        assert main is not None
        threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            interruptible(work, cancelled.set)
        assert ended.is_set()


def test_a_calibration_table_gets_the_header_of_the_version_at_hand() -> None:
    table = "TRT-8601-EntropyCalibration2\nimages: 3c010a14\n"
    assert _with_header(table, "10.16.1.11") == "TRT-101601-EntropyCalibration2\nimages: 3c010a14\n"


def test_a_missing_product_says_what_to_install() -> None:
    with pytest.raises(MissingDependency, match="is not installed") as caught:
        open_library(Product("tensorrt", "TensorRT", "tensorrt_that_nobody_has"))
    assert "pip install -e '.[tensorrt]'" in str(caught.value.hint)


def test_every_backend_says_something_about_itself() -> None:
    found = availabilities()
    assert list(found) == ["tensorrt", "tensorrt-rtx", "fused", "onnxruntime"]
    assert all(state.reason for state in found.values())
    assert found["onnxruntime"].usable
    # Only the fused backend can run what it cannot build here: its compiler is a package of its own.
    assert all(state.builds or not state.usable for name, state in found.items() if name != "fused")


def test_auto_never_takes_what_cannot_run_here() -> None:
    backend, _ = choose("auto", "build")
    assert availabilities()[backend.name].usable


def test_an_unusable_backend_is_refused_with_the_reason() -> None:
    unusable = [name for name, state in availabilities().items() if not state.usable]
    if not unusable:
        pytest.skip("everything works here")
    with pytest.raises(EnvironmentFault, match=f"{unusable[0]} cannot be used here: ") as caught:
        choose(unusable[0])
    assert caught.value.hint == availabilities()[unusable[0]].hint
