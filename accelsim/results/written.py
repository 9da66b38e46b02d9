"""A hardware as its file would say it: see `accelsim.frontend.written`."""

from accelsim.frontend.written import Setting, clock, duration, nested, rate, settings, size

__all__ = ["Setting", "clock", "duration", "nested", "rate", "settings", "size"]
