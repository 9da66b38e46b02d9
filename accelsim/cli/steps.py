"""What several commands do: a step of training, and why a run takes its time."""

from typing import TYPE_CHECKING, Any

from accelsim.cli.output import is_quiet
from accelsim.errors import InputError, Problem

if TYPE_CHECKING:
    from accelsim.hardware import Hardware
    from accelsim.network.graph import Network
    from accelsim.results import RunResult
    from accelsim.why import Why


def step_asked(train: bool, recompute: bool) -> dict[str, dict[str, Any]]:
    """What `--train` and `--recompute` stand for, as results say it."""
    step: dict[str, Any] = {"loss": "cross_entropy", "optimizer": "sgd"}
    step |= {"recompute": True} if recompute else {}
    return {"training": step} if train else {}


def step_of(network: "Network", train: bool, recompute: bool) -> "Network":
    """The network, or with `train` a step of training it, by descent on the cross entropy."""
    from accelsim.network.backward import training_step

    if recompute and not train:
        raise InputError(Problem("is of a step of training; give --train, too", "--recompute"))
    return training_step(network, recompute=recompute) if train else network


def explained_run(
    result: "RunResult", network: "Network", hardware: "Hardware", mapping: str | None = None
) -> "Why":
    """What bounds the run and what would help, found by re-running with progress shown."""
    from accelsim.report.progress import progress
    from accelsim.why import explained, relaxed

    with progress(sum(1 for _ in relaxed(hardware)), is_quiet()) as step:
        return explained(result, network, hardware, step, mapping)
