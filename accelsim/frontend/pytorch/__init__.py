"""PyTorch's models as networks: torch.export's graph through the table of operators of ONNX.

torch is imported only where a module has to be exported first; a program that is exported, or its
plain form (`program`), needs none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accelsim.arguments import checked
from accelsim.errors import InputError, Problem, UncoveredError
from accelsim.frontend.onnx import WHOLE, assembled
from accelsim.frontend.onnx.constants import Constant, Known, Store
from accelsim.frontend.onnx.coverage import coverage, told
from accelsim.frontend.onnx.learned import OpenWeights, Recipes
from accelsim.frontend.onnx.reading import read_as_layers
from accelsim.frontend.pytorch.nodes import Nodes
from accelsim.frontend.pytorch.program import Array, Program, document_of, program_of
from accelsim.frontend.pytorch.table import FUNCTIONS
from accelsim.network.graph import Network, Stored

__all__ = ["from_torch", "network_of_program", "program_of"]


@checked
def from_torch(
    model: Any, example_inputs: tuple[Any, ...] | None = None, name: str | None = None
) -> Network:
    """A torch.nn.Module with example inputs, or what torch.export.export made of one, as a network.

    The first axis of the inputs is the batch; how many images a run takes is the run's to say. Put
    a module into `.eval()` before. Raises InputError where the module cannot be exported, and
    UncoveredError with every call that no layer stands for.
    """
    title = name or str(getattr(model, "_get_name", lambda: "torch")()).lower()
    exported = model if hasattr(model, "graph_signature") else _exported(model, example_inputs)
    try:
        document, arrays = document_of(exported, title)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        message = f"is no module, and no program that torch.export made: {error}"
        raise InputError(Problem(message=message, source="from_torch", key="model")) from None
    return network_of_program(program_of(document, arrays))


def _exported(module: Any, example_inputs: tuple[Any, ...] | None) -> Any:
    if example_inputs is None:
        raise InputError(
            Problem(
                message="a module needs example_inputs, a tuple of tensors", key="example_inputs"
            )
        )
    try:
        from torch.export import export  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        message = "a module needs torch to be exported: pip install torch"
        raise InputError(Problem(message=message, source="from_torch")) from None
    try:
        return export(module, tuple(example_inputs))
    except Exception as error:  # of whatever the module does
        message = f"torch.export cannot export it: {error}"
        raise InputError(Problem(message=message, source="from_torch")) from None


def network_of_program(program: Program) -> Network:
    """A program as a network; raises UncoveredError."""
    if not program.inputs:
        raise InputError(Problem(message="has no input", source=program.name))
    store = Held()
    graph, layers, verdicts = read_as_layers(Nodes(program=program, table=FUNCTIONS).graph(), store)
    if any(verdict.reason for verdict in verdicts):
        rows = coverage(verdicts)
        raise UncoveredError(
            [
                Problem(
                    message=told(row), source=program.name, key=row.operator.removeprefix("torch.")
                )
                for row in rows
                if row.refused
            ],
            rows,
        )
    built = assembled(program.name, program.name, graph, layers)
    said = ["PyTorch", "torch.export"]
    if graph.whole:
        said.append(WHOLE)
    if built.absent:
        said.append("no weights: random ones")
    return built.network_with(", ".join(said), HeldWeights(built.recipes))


class Held(Store):
    """Values that the graph's constants hold themselves."""

    def __init__(self) -> None:
        """It has no file."""

    def values(self, constant: Constant) -> Array:
        """The array."""
        assert isinstance(constant.source, Known)
        return constant.source.values


@dataclass(frozen=True)
class HeldWeights(Stored):
    """A module's own arrays, by `<layer>.weight` and so on."""

    recipes: Recipes

    def __str__(self) -> str:
        return "the module"

    def opened(self) -> Mapping[str, Array]:
        """Each made when it is asked for."""
        return OpenWeights(Held, self.recipes)

    def codes(self, signed: bool, signed_filter: bool) -> Mapping[str, Array]:
        """None: a module has real numbers."""
        return {}
