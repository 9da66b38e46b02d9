"""What stops a process comes when it may, and once."""

import os
import signal
from collections.abc import Iterator

import pytest

from accelsim.stops import stops_held, stops_interrupt

if os.name == "nt":
    pytest.skip("POSIX signals", allow_module_level=True)
STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    """Stops are heard here even where the tests are a job behind `&` or nohup: they ignore some."""
    inherited = {number: signal.signal(number, signal.SIG_DFL) for number in STOPS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before = [signal.getsignal(number) for number in STOPS]
    yield
    assert [signal.getsignal(number) for number in STOPS] == before
    for number, handler in inherited.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPS)
def test_a_stop_waits_for_what_must_not_be_left_halfway(number: int) -> None:
    log = []

    def work() -> None:
        with stops_held():
            with stops_held():
                signal.raise_signal(number)
                signal.raise_signal(number)
                log.append("inner")
            log.append("outer")
        log.append("never")

    with stops_interrupt(), pytest.raises(KeyboardInterrupt):
        work()
    assert log == ["inner", "outer"]


def test_what_is_ignored_stays_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stops_interrupt(), stops_held():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
