"""The command `train`: one step of training, timed."""

from accelsim.cli.bundles import Step
from accelsim.cli.inputs import Model, asked, told
from accelsim.cli.options import (
    BatchOption,
    ColumnsOption,
    CsvOption,
    DataflowOption,
    DimOption,
    HardwareName,
    JsonOption,
    LossOption,
    NetworkName,
    OptimizerOption,
    OutputsOption,
    RecomputeOption,
    ReportOption,
    SetOption,
)
from accelsim.cli.output import deliver, deliver_page


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
    from accelsim.facade import simulate
    from accelsim.report.export import Destinations, csv_text, json_text
    from accelsim.report.run import run_sheets

    files = (("--report", report),)
    destinations = Destinations(json, csv, (network, hardware), files)
    wanted = Model(network, dim, outputs)
    shown, model, machine = asked(wanted, hardware, settings, dataflow, columns, destinations)
    step = Step(True, loss, optimizer, recompute)
    result = simulate(step.of(model), machine, batch=batch, tiles=report is not None)
    result = told(result, settings, wanted, **step.said)
    deliver_page(report, [result])
    deliver(
        destinations,
        run_sheets(result, machine, shown),
        lambda: json_text(result.as_dict()),
        lambda: csv_text([result]),
        shown=columns is not None,
    )
