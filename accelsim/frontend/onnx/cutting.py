"""Where to cut a model so that what lies before can be simulated."""

import shlex
from collections.abc import Iterable, Mapping, Sequence

from accelsim.errors import InputError
from accelsim.frontend.onnx.constants import Store
from accelsim.frontend.onnx.coverage import Verdict
from accelsim.frontend.onnx.file import ModelFile
from accelsim.frontend.onnx.graph import Graph, Node, Value, resolved
from accelsim.frontend.onnx.order import inner_sources
from accelsim.frontend.onnx.reading import read_as_layers

_TRIES = 3


def place_to_cut(
    file: ModelFile, dims: Mapping[str, int], graph: Graph, verdicts: Sequence[Verdict]
) -> tuple[str, ...]:
    """The last tensors that need nothing that is refused, of which it is tried that they run.

    `graph` is as the file has it. None are returned where nothing is left.
    """
    for _ in range(_TRIES):
        found = _last_before(graph, (verdict.node for verdict in verdicts if verdict.reason))
        if not found:
            return ()
        try:
            graph = resolved(file, dims, found)
            _, _, verdicts = read_as_layers(graph, Store(file))
        except InputError:
            return ()
        if not any(verdict.reason for verdict in verdicts):
            return found
    return ()


def as_options(names: Iterable[str]) -> str:
    """The options of a command that cut a model there."""
    return " ".join(f"--outputs {shlex.quote(name)}" for name in names)


def _last_before(graph: Graph, refused: Iterable[Node]) -> tuple[str, ...]:
    """What is computed without any refused node, and read by what is not, or an output."""
    without = {value.name for node in refused for value in node.outputs}
    made: list[str] = []
    wanted = set(graph.outputs)
    for node in graph.nodes:
        read = set(_read(node))
        own = [value.name for value in node.outputs if value.name]
        if without & {*read, *own}:
            without.update(own)
            wanted |= read
        else:
            made += own
    ends = wanted & set(made)
    before: set[str] = set()
    for node in reversed(graph.nodes):
        if (ends | before) & {value.name for value in node.outputs}:
            before.update(_read(node))
    return tuple(name for name in made if name in ends - before)


def _read(node: Node) -> list[str]:
    """The computed tensors that a node reads, its inner graphs, too."""
    outer = [each.name for each in node.inputs if isinstance(each, Value)]
    return [*outer, *inner_sources(node.attributes.values())]
