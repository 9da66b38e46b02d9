"""The command `train`: one step of training, timed."""

from typing import Annotated, Any, Literal

import typer

from accelsim.cli.inputs import Model, asked, told
from accelsim.cli.options import (
    BatchOption,
    ColumnsOption,
    CsvOption,
    DataflowOption,
    DimOption,
    HardwareName,
    JsonOption,
    NetworkName,
    OutputsOption,
    RecomputeOption,
    ReportOption,
    SetOption,
)
from accelsim.cli.output import deliver, deliver_page

LossOption = Annotated[
    Literal["cross_entropy", "squared_error"],
    typer.Option("--loss", help="Of the network's output, against one-of-c targets."),
]
OptimizerOption = Annotated[
    Literal["sgd", "momentum", "adam"], typer.Option("--optimizer", help="What updates cost.")
]


def train(
    network: NetworkName,
    hardware: HardwareName,
    dataflow: DataflowOption = None,
    batch: BatchOption = 1,
    loss: LossOption = "cross_entropy",
    optimizer: OptimizerOption = "sgd",
    recompute: RecomputeOption = False,
    settings: SetOption = None,
    columns: ColumnsOption = None,
    dim: DimOption = None,
    outputs: OutputsOption = None,
    report: ReportOption = None,
    json: JsonOption = None,
    csv: CsvOption = None,
) -> None:
    """Time one step of training a network: forward, loss, gradients, updates.

    Example: `accelsim train lenet5 edge_ws --batch 32`
    """
    from accelsim.facade import train as timed_step
    from accelsim.report.export import Destinations, csv_text, json_text
    from accelsim.report.run import run_sheets

    files = (("--report", report),)
    destinations = Destinations(json, csv, (network, hardware), files)
    wanted = Model(network, dim, outputs)
    shown, model, machine = asked(wanted, hardware, settings, dataflow, columns, destinations)
    step: dict[str, Any] = {"loss": loss, "optimizer": optimizer}
    step |= {"recompute": True} if recompute else {}
    result = timed_step(model, machine, batch=batch, tiles=report is not None, **step)
    result = told(result, settings, wanted, training=step)
    deliver_page(report, [result])
    deliver(
        destinations,
        run_sheets(result, machine, shown),
        lambda: json_text(result.as_dict()),
        lambda: csv_text([result]),
        shown=columns is not None,
    )
