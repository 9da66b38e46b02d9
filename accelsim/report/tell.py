"""Words on standard error. They never end the work: the terminal may be gone, the disk full."""

import sys
from contextlib import suppress

from accelsim.text import visible


def tell(line: str) -> None:
    """Say a line, if anybody can hear it."""
    if sys.stderr is None:  # `print` would take standard output
        return
    with suppress(OSError, ValueError):  # ValueError: closed
        print(visible(line), file=sys.stderr, flush=True)
