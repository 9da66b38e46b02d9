"""Points of a small sweep, some of which do a worker harm."""

import os
import signal
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from accelsim.frontend.sweep_file import sweep_from
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.space import Sweep, resolve
from accelsim.sweep.work import evaluate


def small_sweep(**changes: object) -> Sweep:
    """LeNet-5 on twelve machines."""
    data = {
        "name": "small",
        "networks": ["lenet5"],
        "base": "edge_ws",
        "matrix": {
            "dataflow": ["os", "ws", "is"],
            "array.rows": [16, 32],
            "dram.bandwidth": ["4 GB/s", "16 GB/s"],
        },
    }
    return resolve(sweep_from(data | changes))


def harmful(point: Point, harm: str) -> Point:
    """The point under another key; `evaluate_or_harm` does what `harm` says to its process."""
    return replace(point, key=harm, network=f"harm:{harm}")


def _half_and_end(connection: Connection, content: bytes) -> None:
    """Write half of what is to be sent, and be killed."""
    os.write(connection.fileno(), content[: len(content) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def evaluate_or_harm(point: Point) -> Outcome:
    """`evaluate`, in a process that a point may kill, keep for ever or deprive of memory."""
    harm = point.network.removeprefix("harm:")
    if harm == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif harm == "endless":
        time.sleep(600)
    elif harm == "memory":
        raise MemoryError
    elif harm == "half":
        Connection._send = _half_and_end  # type: ignore[attr-defined]
        return Outcome(harm, "done", {}, bytes(10**6), 0.0)
    elif harm.startswith("once:"):
        mark = Path(harm.removeprefix("once:"))
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        point = replace(point, network="lenet5")
    return evaluate(point)
