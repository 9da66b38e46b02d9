"""What several commands do: a step of training, and why a run takes its time."""

from typing import TYPE_CHECKING

from accelsim.cli.output import is_quiet

if TYPE_CHECKING:
    from accelsim.hardware import Hardware
    from accelsim.network.graph import Network
    from accelsim.results import RunResult
    from accelsim.why import Why


def step_asked(train: bool) -> dict[str, dict[str, str]]:
    """What `--train` stands for, as results say it."""
    return {"training": {"loss": "cross_entropy", "optimizer": "sgd"}} if train else {}


def step_of(network: "Network") -> "Network":
    """A step of training a network, by plain descent on the cross entropy."""
    from accelsim.network.backward import training_step

    return training_step(network)


def explained_run(
    result: "RunResult", network: "Network", hardware: "Hardware", mapping: str | None = None
) -> "Why":
    """What bounds the run and what would help, found by re-running with progress shown."""
    from accelsim.report.progress import progress
    from accelsim.why import explained, relaxed

    with progress(sum(1 for _ in relaxed(hardware)), is_quiet()) as step:
        return explained(result, network, hardware, step, mapping)
