"""Why a run takes its time, for the commands that have `--why`."""

from typing import TYPE_CHECKING

from accelsim.cli.output import is_quiet

if TYPE_CHECKING:
    from accelsim.hardware import Hardware
    from accelsim.network.graph import Network
    from accelsim.results import RunResult
    from accelsim.why import Why


def explained_run(
    result: "RunResult", network: "Network", hardware: "Hardware", mapping: str | None = None
) -> "Why":
    """What bounds the run and what would help, found by re-running with progress shown."""
    from accelsim.report.progress import progress
    from accelsim.why import explained, relaxed

    with progress(sum(1 for _ in relaxed(hardware)), is_quiet()) as step:
        return explained(result, network, hardware, step, mapping)
