"""`python -m accelsim.engine.compiled`: compile everything now, so that no run has to."""

import numpy as np

from accelsim.dram.compiled.controller import replay_all
from accelsim.engine.compiled.loop import play_all
from accelsim.jit import directory, is_installed, is_kept


def main() -> None:
    """Play and replay nothing, which compiles both."""
    if not is_installed():
        raise SystemExit("numba is not installed; pip install 'accelsim[fast]'")
    nothing_to_do = np.zeros(64, np.int64)
    play_all(nothing_to_do, nothing_to_do[:0])
    replay_all(nothing_to_do)
    print(f"compiled, in {directory()}" if is_kept() else f"cannot write into {directory()}")


if __name__ == "__main__":
    main()
