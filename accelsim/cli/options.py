"""Arguments and options that several commands have."""

from typing import Annotated, Literal

import typer

NetworkName = Annotated[
    str,
    typer.Argument(metavar="NETWORK", help="A built-in network, or a .yaml, .csv or .onnx file."),
]
DimOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dim",
        metavar="NAME=N",
        help="The size of an open axis of an .onnx file's inputs; may be repeated.",
    ),
]
OutputsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--outputs",
        metavar="NAME",
        help="Take an .onnx file only up to this tensor; may be repeated.",
    ),
]
UnsupportedOption = Annotated[
    Literal["refuse", "free"],
    typer.Option(
        "--unsupported",
        help="What to do with operators of an .onnx file that cannot be simulated; free ones are "
        "told with the network's name wherever that stands.",
    ),
]
HardwareName = Annotated[
    str, typer.Argument(metavar="HARDWARE", help="A built-in accelerator, or a .yaml or .cfg file.")
]
DataflowOption = Annotated[
    str | None,
    typer.Option(
        "--dataflow",
        metavar="D",
        help="os, ws, is or rs, or best of them for each layer; the hardware's own if not given.",
    ),
]
BatchOption = Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Images at a time.")]
SeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Of random weights and inputs.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace a setting of the hardware, such as array.rows=64; may be repeated.",
    ),
]
JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="F", help="Write JSON to a file; - for stdout.")
]
CsvOption = Annotated[
    str | None,
    typer.Option("--csv", metavar="F", help="Write CSV, one row per layer; - for stdout."),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAME,...",
        help="Add columns: cycles, util, mapping, op, output, macs, zero_macs, bound, phase, dram, "
        "dram_read, dram_write; dataflow, tiling, time, busy, images_per_second, macs_per_byte; "
        "**buckets** (useful, idle_pes, fill_drain, buffer, read_wait, write_wait, other_layer); "
        "energy, pj_per_mac, watts, tops_per_watt, **components** (mac_energy, vector_energy, "
        "register_energy, network_energy, buffer_energy, dram_energy). With **only** among them, "
        "leave out the usual ones.",
    ),
]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Nothing but files, errors, and what - sends to stdout."),
]
MappingOption = Annotated[
    str | None,
    typer.Option(
        "--mapping",
        metavar="F",
        help="Force tiles and loops of layers: a .yaml file, or ONNXim's .mapping.",
    ),
]
TrainOption = Annotated[
    bool, typer.Option("--train", help="A step of training instead of inference.")
]
LossOption = Annotated[
    Literal["cross_entropy", "squared_error"],
    typer.Option(
        "--loss", help="Of a step of training: of the network's output, against one-of-c targets."
    ),
]
OptimizerOption = Annotated[
    Literal["sgd", "momentum", "adam"],
    typer.Option("--optimizer", help="Of a step of training: what updates cost."),
]
RecomputeOption = Annotated[
    bool,
    typer.Option(
        "--recompute",
        help="Of a step of training: keep what goes from block to block, compute the rest again.",
    ),
]
DecodeOption = Annotated[
    bool,
    typer.Option("--decode", help="One more token, keys and values of those before cached."),
]
PastOption = Annotated[
    int | None,
    typer.Option("--past", metavar="N", min=1, help="Tokens before the one of --decode."),
]
WhyOption = Annotated[
    bool,
    typer.Option(
        "--why", help="Say what bounds the network and what would help most, by re-running."
    ),
]
ReportOption = Annotated[
    str | None,
    typer.Option("--report", metavar="F", help="Write a page, .html, to look at and to show."),
]
VerifyOption = Annotated[
    bool, typer.Option("--verify", help="Check the values too; exit 1 if any is wrong.")
]
TraceOption = Annotated[
    str | None,
    typer.Option(
        "--trace",
        metavar="F",
        help="Write every tile and transfer, .json or .json.gz, for ui.perfetto.dev.",
    ),
]
TraceDramOption = Annotated[
    str | None,
    typer.Option(
        "--trace-dram",
        metavar="F",
        help="Write what crosses DRAM: .csv, .trc (DRAMsim3), .trace (Ramulator 2); or .gz.",
    ),
]
TraceSramOption = Annotated[
    str | None,
    typer.Option(
        "--trace-sram",
        metavar="F",
        help="Write what crosses the buffers' ports, fold by fold: .csv or .csv.gz.",
    ),
]
SaveMappingOption = Annotated[
    str | None,
    typer.Option("--save-mapping", metavar="F", help="Write the tiles and loops that it took."),
]
AgainOption = Annotated[
    bool, typer.Option("--again", help="Repeat a saved result; exit 1 if a byte differs.")
]
DataflowsOption = Annotated[
    str | None,
    typer.Option(
        "--dataflows",
        metavar="D,...",
        help="What to compare; if left out os,ws,is and, where the hardware has spads, rs.",
    ),
]
SummaryOption = Annotated[
    bool, typer.Option("--summary", help="One row for each run, and no layers.")
]
ByOption = Annotated[
    Literal["layer", "block"],
    typer.Option("--by", help="A row for each layer, or for each block, such as inception_3a."),
]
ResultsOption = Annotated[
    str | None,
    typer.Option("--results", metavar="F", help="SQLite file; NAME.sqlite if left out."),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs", metavar="N", min=1, help="Processes, at most one per core; as many if left out."
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster: tcp://HOST:PORT."),
]
RetryOption = Annotated[
    bool, typer.Option("--retry-failed", help="Try points that failed before once more.")
]
RepairOption = Annotated[
    bool, typer.Option("--repair", help="Drop damaged rows of the results, and redo them.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only check and list the points.")]
