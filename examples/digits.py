"""Two networks learn scikit-learn's digits on a simulated accelerator.

    pip install accelsim[examples]
    python examples/digits.py [--hardware edge_ws] [--epochs N] [--ship FOLDER]

Every step (forward, loss, gradients, update) is computed tile by tile, by the tasks that the
simulator times, in float32. The 1,797 images of 8x8 pixels come with scikit-learn; a fifth of them
is only tested on. `--ship` writes the LeNet quantized to int8, with images and labels, as
digits.yaml and digits.npz, which accelsim has among its workloads.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from quantize import shipped
from rich.progress import Progress
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.learning import Learner
from accelsim.network.ops.gradients import Loss

HERE = Path(__file__).parent
FLOATS = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
TESTED = 360


@dataclass(frozen=True, slots=True)
class Lesson:
    """What learns, and how; wrong outputs should be `low`, the right one 1."""

    network: str
    loss: Loss
    low: float
    batch: int
    rate: float
    epochs: int


LESSONS = (
    Lesson("bouvrie", "squared_error", -1.0, batch=16, rate=0.04, epochs=10),
    Lesson(str(HERE / "lenet8.yaml"), "cross_entropy", 0.0, batch=32, rate=0.1, epochs=12),
)


@dataclass(frozen=True, slots=True)
class Digits:
    """Images (N, 1, 8, 8) from -1 to 1, and which digits they are."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    @classmethod
    def split(cls, seed: int = 0) -> "tuple[Digits, Digits]":
        """Those to learn from and those to test on."""
        data = load_digits()
        order = np.random.default_rng(seed).permutation(len(data.target))
        images = (data.images[order, None] / 8 - 1).astype(np.float32)
        whole = cls(images, data.target[order])
        return whole.part(slice(TESTED, None)), whole.part(slice(TESTED))

    def part(self, chosen: slice | NDArray[np.int64]) -> "Digits":
        """Some of them."""
        return Digits(self.images[chosen], self.labels[chosen])

    def accuracy(self, learner: Learner) -> float:
        """The share of images that a network takes for the right digit."""
        outputs = learner.outputs(self.images).reshape(len(self.labels), -1)
        return float((outputs.argmax(1) == self.labels).mean())


def learn(lesson: Lesson, hardware: Hardware, epochs: int | None = None) -> Learner:
    """Learn, and say after every epoch how well it goes and what it took."""
    known, unknown = Digits.split()
    learner = Learner.of(lesson.network, hardware, lesson.batch, lesson.loss, lesson.rate)
    generator, steps = np.random.default_rng(1), len(known.labels) // lesson.batch
    print(f"{learner.network.name} on {hardware.name}: a step {_cost(learner, 1)}")
    epochs = epochs or lesson.epochs
    with Progress(transient=True) as progress:
        task = progress.add_task(learner.network.name, total=epochs * steps)
        for epoch in range(epochs):
            order = generator.permutation(len(known.labels))
            losses = []
            for chosen in np.split(order[: steps * lesson.batch], steps):
                some = known.part(chosen)
                targets = np.where(np.arange(10) == some.labels[:, None], 1, lesson.low)
                losses.append(learner.learn(some.images, targets.astype(np.float32)))
                progress.advance(task)
            said = f"loss {np.mean(losses):.3f}, test accuracy {unknown.accuracy(learner):.1%}"
            progress.console.print(f"  epoch {epoch + 1:2}: {said}; {_cost(learner, steps)}")
    return learner


def _cost(learner: Learner, steps: int) -> str:
    """Simulated time, DRAM traffic and energy of some steps."""
    took, energy = learner.time, learner.time.energy
    joules = f", {energy.total * steps * 1e-9:,.3f} mJ" if energy else ""
    moved = steps * took.dram.total_bytes / 2**20
    return f"{1e3 * steps * took.seconds:,.3f} ms, {moved:,.2f} MiB of DRAM traffic{joules}"


def main() -> None:
    """Learn both, and ship one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hardware", default="edge_ws")
    parser.add_argument("--epochs", type=int, help="of each network; its own if left out")
    parser.add_argument("--ship", type=Path, metavar="FOLDER", help="write the quantized LeNet")
    given = parser.parse_args()
    hardware = load_hardware(given.hardware, [FLOATS, "energy=horowitz_45nm"])
    start = time.perf_counter()
    with threadpool_limits(1):
        learners = [learn(lesson, hardware, given.epochs) for lesson in LESSONS]
    print(f"took {time.perf_counter() - start:.0f} s")
    if given.ship:
        known, unknown = Digits.split()
        shipped(learners[-1], known.images, (unknown.images, unknown.labels), given.ship)


if __name__ == "__main__":
    main()
