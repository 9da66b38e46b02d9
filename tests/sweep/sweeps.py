"""Points of a small sweep, some of which do a worker harm."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from accelsim.frontend.sweep_file import sweep_from
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.space import Sweep, resolve
from accelsim.sweep.work import evaluate

NETWORK = Path(__file__).with_name("two_layers.yaml")


def small_sweep(**changes: object) -> Sweep:
    """Two layers on twelve machines."""
    data = {
        "name": "small",
        "networks": [str(NETWORK)],
        "base": "edge_ws",
        "matrix": {
            "dataflow": ["os", "ws", "is"],
            "array.rows": [16, 32],
            "dram.bandwidth": ["4 GB/s", "16 GB/s"],
        },
    }
    return resolve(sweep_from(data | changes))


def edited_sweep(folder: Path, change: tuple[str, str]) -> tuple[Sweep, Sweep]:
    """A sweep of a network file that is edited when its points are known, and of the original."""
    text = NETWORK.read_text(encoding="utf-8")
    for name in ("kept.yaml", "edited.yaml"):
        (folder / name).write_text(text, encoding="utf-8")
    rows = {"array.rows": [8, 9, 10]}
    edited, kept = (
        small_sweep(networks=[str(folder / name)], matrix=rows)
        for name in ("edited.yaml", "kept.yaml")
    )
    before, after = change
    assert before in text
    (folder / "edited.yaml").write_text(text.replace(before, after), encoding="utf-8")
    return edited, kept


def harmful(point: Point, harm: str) -> Point:
    """The point under another key; `evaluate_or_harm` does what `harm` says to its process."""
    return replace(point, key=harm, network=f"harm:{harm}")


def evaluate_or_harm(point: Point) -> Outcome:
    """`evaluate`, in a process that a point may kill, keep for ever or deprive of memory."""
    harm = point.network.removeprefix("harm:")
    if harm == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif harm == "endless":
        time.sleep(600)
    elif harm == "memory":
        raise MemoryError
    elif harm.startswith("once:"):
        mark = Path(harm.removeprefix("once:"))
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        point = replace(point, network=str(NETWORK))
    return evaluate(point)
