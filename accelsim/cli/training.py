"""The command `train`: one step of training, timed as `run --train` times it."""

from accelsim.cli.bundles import Files, Machine, Reading, Showing, Step, Work, bundled
from accelsim.cli.options import (
    BatchOption,
    HardwareName,
    LossOption,
    MappingOption,
    NetworkName,
    OptimizerOption,
    RecomputeOption,
)
from accelsim.cli.runs import deliver_run, timed_run


@bundled
def train(
    network: NetworkName,
    hardware: HardwareName,
    machine: Machine,
    reading: Reading,
    showing: Showing,
    files: Files,
    batch: BatchOption = 1,
    loss: LossOption = "cross_entropy",
    optimizer: OptimizerOption = "sgd",
    recompute: RecomputeOption = False,
    mapping: MappingOption = None,
) -> None:
    """Time one step of training a network: forward, loss, gradients, updates.

    Example: `accelsim train lenet5 edge_ws --batch 32`
    """
    wanted = reading.model(network)
    work = Work(batch=batch, mapping=mapping)
    step = Step(True, loss, optimizer, recompute)
    deliver_run(timed_run(wanted, hardware, machine, work, step, showing, files))
