"""Options in bundles: records whose fields are options of the commands that take them.

A command has the record as one parameter; on the command line each field stands by itself.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from accelsim.cli.inputs import Model
from accelsim.cli.options import (
    BatchOption,
    ColumnsOption,
    CsvOption,
    DataflowOption,
    DecodeOption,
    DimOption,
    JsonOption,
    LossOption,
    MappingOption,
    OptimizerOption,
    OutputsOption,
    PastOption,
    RecomputeOption,
    ReportOption,
    SaveMappingOption,
    SetOption,
    TraceDramOption,
    TraceOption,
    TraceSramOption,
    TrainOption,
    UnsupportedOption,
    VerifyOption,
    WhyOption,
)
from accelsim.errors import InputError, Problem

if TYPE_CHECKING:
    from accelsim.network.graph import Network


@dataclass(frozen=True, slots=True)
class Machine:
    """What changes the hardware that is named."""

    dataflow: DataflowOption = None
    settings: SetOption = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How the file of a network is read."""

    dim: DimOption = None
    outputs: OutputsOption = None
    unsupported: UnsupportedOption = "refuse"

    def model(self, name: str) -> Model:
        """A network as it is asked for."""
        return Model(name, self.dim, self.outputs, self.unsupported)


@dataclass(frozen=True, slots=True)
class Work:
    """What of a network is done: images, or one more token; in forced tiles."""

    batch: BatchOption = 1
    decode: DecodeOption = False
    past: PastOption = None
    mapping: MappingOption = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of training in place of inference, if asked for, and what it does."""

    train: TrainOption = False
    loss: LossOption = "cross_entropy"
    optimizer: OptimizerOption = "sgd"
    recompute: RecomputeOption = False

    @property
    def said(self) -> dict[str, dict[str, Any]]:
        """The step as results say it; empty without one."""
        if not self.train:
            return {}
        again = {"recompute": True} if self.recompute else {}
        return {"training": {"loss": self.loss, "optimizer": self.optimizer, **again}}

    def of(self, network: "Network") -> "Network":
        """The network, or the step of training it; InputError for options without `--train`."""
        from accelsim.network.backward import training_step

        if self.train:
            return training_step(network, **self.said["training"])
        if self.beyond:
            message = "is of a step of training; give --train, too"
            raise InputError(Problem(message=message, source=each) for each in self.beyond)
        return network

    @property
    def beyond(self) -> tuple[str, ...]:
        """The options that only a step of training has, where they say anything."""
        others = (each for each in fields(self) if each.name != "train")
        said = (each.name for each in others if getattr(self, each.name) != each.default)
        return tuple(f"--{name}" for name in said)


@dataclass(frozen=True, slots=True)
class Showing:
    """What is shown beside the usual."""

    verify: VerifyOption = False
    columns: ColumnsOption = None
    why: WhyOption = False


@dataclass(frozen=True, slots=True)
class Files:
    """Where the results of one run go."""

    trace: TraceOption = None
    trace_dram: TraceDramOption = None
    trace_sram: TraceSramOption = None
    report: ReportOption = None
    save_mapping: SaveMappingOption = None
    json: JsonOption = None
    csv: CsvOption = None

    @property
    def others(self) -> tuple[tuple[str, str | None], ...]:
        """The options beside JSON and CSV, and their files."""
        return (
            *(("--trace", self.trace), ("--trace-dram", self.trace_dram)),
            ("--trace-sram", self.trace_sram),
            *(("--report", self.report), ("--save-mapping", self.save_mapping)),
        )


def bundled(command: Callable[..., None]) -> Callable[..., None]:
    """The command as the command line has it, with the fields of its records one by one."""
    said = signature(command).parameters.values()

    @wraps(command)
    def run(**given: Any) -> None:
        command(**{each.name: _value(each, given) for each in said})

    spread = [parameter for each in said for parameter in _spread(each)]
    run.__signature__ = signature(command).replace(parameters=spread)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in spread}
    return run


def _spread(parameter: Parameter) -> Iterator[Parameter]:
    """A parameter, or one for each field of its record; by name, as those without defaults mix."""
    if not is_dataclass(parameter.annotation):
        yield parameter.replace(kind=Parameter.KEYWORD_ONLY)
        return
    for each in fields(parameter.annotation):
        default = Parameter.empty if each.default is MISSING else each.default
        yield Parameter(each.name, Parameter.KEYWORD_ONLY, default=default, annotation=each.type)


def _value(parameter: Parameter, given: Mapping[str, Any]) -> object:
    """What a parameter gets of what the command line has given."""
    record = parameter.annotation
    if not is_dataclass(record):
        return given[parameter.name]
    assert isinstance(record, type)
    return record(**{each.name: given[each.name] for each in fields(record)})
