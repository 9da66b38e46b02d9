"""`accelsim run RESULT.json --again`: the same run once more, from what the result says made it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from accelsim.cli.application import CHECK_FAILED
from accelsim.cli.inputs import Model, decoded, network_named
from accelsim.cli.output import print_sheets
from accelsim.errors import AccelsimError, InputError, Problem
from accelsim.frontend.asked import Asked, checked_asked
from accelsim.network.digest import network_digest

if TYPE_CHECKING:
    from accelsim.hardware import Hardware
    from accelsim.network.graph import Network
    from accelsim.report.page.recorded import RunRecord
    from accelsim.results import RunResult
    from accelsim.results.tiles import Tiles

_NOT_OF_THE_RUN = ("verify", "why")
"""What `run` can add to its JSON, in this order; it is not repeated."""


def others_given(context: typer.Context) -> list[str]:
    """What a command's user has given beside --again, a result and --quiet, as it is written."""
    return [
        parameter.opts[-1]
        for parameter in context.command.params
        if parameter.name not in (None, "network", "again", "quiet")
        and getattr(context.get_parameter_source(parameter.name), "name", "") == "COMMANDLINE"
    ]


def repeat(path: str, others: Sequence[str]) -> None:
    """Run a saved result again and say whether it is the same to the byte; exit 1 if not.

    Raises InputError where the result does not say what made it, or where `others` are given,
    options of a new run.
    """
    from accelsim.frontend.source import read_text
    from accelsim.report.difference import difference_sheets
    from accelsim.report.export import json_text
    from accelsim.report.sheet import Sheet
    from accelsim.sweep.difference import of_runs
    from accelsim.sweep.run_file import LARGEST_RUN, read_run

    if others:
        message = f"takes everything from the result; give nothing else, not {' or '.join(others)}"
        raise InputError(Problem(message=message, source="--again"))
    before = read_run(Path(path))
    after = _again(path, before).as_dict()
    beside = {key: before[key] for key in _NOT_OF_THE_RUN if key in before}
    if json_text(after | beside) == read_text(Path(path), LARGEST_RUN):
        print_sheets([Sheet(title=f"{path}: run again, the same to the byte")])
        return
    print_sheets(difference_sheets(of_runs(path, before, "run again", after)))
    raise typer.Exit(CHECK_FAILED)


def tiles_of(path: str, run: "RunRecord") -> "Tiles | None":
    """What the tiles of a saved run do, by playing it again; None where it comes out otherwise."""
    if run.made_by is None:
        return None
    said = {"made_by": run.made_by.model_dump(), "batch": run.batch}
    try:
        after = _again(path, said, tiles=True)
    except AccelsimError:
        return None
    assert after.origin is not None
    same = network_digest(after.origin.network) == run.made_by.network_sha256
    spans = [(one.name, one.start_cycle, one.end_cycle) for one in run.layers]
    ours = [(one.name, one.start_cycle, one.end_cycle) for one in after.layers]
    return after.tiles if same and spans == ours else None


def _again(path: str, run: Mapping[str, Any], tiles: bool = False) -> "RunResult":
    """The run once more; raises InputError."""
    from accelsim.facade import simulate

    made = run.get("made_by")
    asked = made.get("asked") if isinstance(made, dict) else None
    if not isinstance(made, dict) or not isinstance(asked, dict) or "network" not in asked:
        message = "does not say how its network was asked for, so it cannot be repeated"
        raise InputError(Problem(message=message, source=path, key="made_by.asked"))
    hardware = _hardware(path, made.get("hardware"))
    said = checked_asked(path, asked)
    network, batch = _network(said), run["batch"]
    result = simulate(network, hardware, None, batch, mapping=said.mapping, tiles=tiles)
    assert result.origin is not None
    settings = tuple(map(str, made.get("settings") or ()))
    return replace(result, origin=replace(result.origin, settings=settings, asked=asked))


def _network(asked: Asked) -> "Network":
    """The network as it was asked for, or the step of training it."""
    from accelsim.network.backward import training_step

    model = Model(asked.network, asked.dims, asked.outputs, asked.unsupported)
    network = decoded(network_named(model), asked.past is not None, asked.past)
    step = asked.training
    return training_step(network, **step.model_dump()) if step is not None else network


def _hardware(path: str, data: object) -> "Hardware":
    """The hardware with nothing left out, as the result has it; raises InputError."""
    from accelsim.frontend.hardware_file import checked_hardware

    if not isinstance(data, dict):
        raise InputError(Problem(message="is no hardware", source=path, key="made_by.hardware"))
    hardware, found = checked_hardware(data)
    if hardware is None:
        keys = [(".".join(("made_by.hardware", *map(str, each.path))), each) for each in found]
        raise InputError(Problem(message=each.message, source=path, key=key) for key, each in keys)
    return hardware
