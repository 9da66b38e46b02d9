"""Ctrl-C and its like: what stops a command, and what they must not stop halfway."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STOPS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@contextmanager
def stops_interrupt() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a terminal that closes, raise KeyboardInterrupt as Ctrl-C does.

    Those that somebody ignores or handles stay as they are, and all outside the main thread.
    """
    plain = [number for number in _STOPS if signal.getsignal(number) == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        plain = []
    for number in plain:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in plain:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def stops_held() -> Iterator[None]:
    """Hold back what stops this process; it comes when this ends.

    Their handlers wait, for a signal that is blocked here reaches another thread.
    """
    came: list[int] = []
    handlers = _handlers()
    for number in handlers:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def _handlers() -> "dict[int, signal._HANDLER]":
    """What is called for each signal that stops; only the main thread is ever stopped by it."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in _STOPS}
    return {number: handler for number, handler in found.items() if callable(handler)}


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C in this thread; processes that start meanwhile never see it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
