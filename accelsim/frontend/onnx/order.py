"""Which nodes of a model its outputs depend on, and in which order they can run."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.frontend.onnx.branches import Taken, is_awake
from accelsim.frontend.onnx.file import ModelFile
from accelsim.frontend.onnx.inference import named

MOST_NODES = 200_000


def sources_of(node: Any) -> list[str]:
    """What a node reads; what a Loop's or If's graph inside reads, too."""
    graphs = [each for said in node.attribute for each in (said.g, *said.graphs)]
    return [*filter(None, node.input), *inner_sources(graphs)]


def inner_sources(values: Iterable[Any]) -> list[str]:
    """What graphs among the values of attributes read of the graph around them."""
    names = []
    for inner in values:
        if hasattr(inner, "initializer"):
            made = {name for each in inner.node for name in each.output}
            made |= {each.name for each in (*inner.input, *inner.initializer)}
            read = [name for each in inner.node for name in sources_of(each)]
            read += [each.name for each in inner.output]
            names += [name for name in read if name not in made]
    return names


def order_of(file: ModelFile, wanted: Sequence[str], taken: Taken) -> list[int]:
    """The nodes that `wanted` depend on, by index, in an order that can run.

    `taken` are the Ifs of which is known what they do.
    """
    if len(file.proto.graph.node) > MOST_NODES:
        raise file.problem(f"has more than {MOST_NODES:,} nodes")
    given = _given(file)
    maker = _makers(file, given, taken)
    problems = [
        Problem(
            message=f"nothing in the model is called so; {did_you_mean(name, maker)}".rstrip("; "),
            source=str(file.path),
            key=name,
        )
        for name in wanted
        if name not in maker and name not in given
    ]
    if problems:
        raise InputError(problems)
    return _depth_first(file, maker, given, wanted)


def _makers(file: ModelFile, given: set[str], taken: Taken) -> dict[str, int]:
    """Which node makes a tensor; what is within a branch not taken is known by its own name."""
    maker: dict[str, int] = {}
    asleep: dict[str, int] = {}
    for index, node in enumerate(file.proto.graph.node):
        awake = is_awake(index, file.owners, taken)
        for name in filter(None, node.output if index not in taken else ()):
            if not awake:
                asleep[name] = index
                continue
            if name in maker or name in given:
                again = "twice" if name in maker else "by it, but is an input or initializer, too"
                raise file.problem(f"{name!r} is made {again}", named(node))
            maker[name] = index
    others = asleep.keys() - maker.keys() - given
    return maker | {name: asleep[name] for name in others}


def _given(file: ModelFile) -> set[str]:
    """What no node makes; raises InputError for what is given twice, or in a form not known."""
    graph = file.proto.graph
    for kind in (graph.input, graph.initializer):
        counts = Counter(each.name for each in kind)
        for name, count in counts.items():
            if count > 1 or not name:
                raise file.problem("is given twice" if name else "an input has no name", name)
    for each in graph.sparse_initializer:
        raise file.problem("is a sparse array, which is not read here", each.values.name)
    return {each.name for each in (*graph.input, *graph.initializer)}


def _depth_first(
    file: ModelFile, maker: Mapping[str, int], given: set[str], wanted: Sequence[str]
) -> list[int]:
    """Each node behind all that it reads; raises InputError for a cycle or what nothing makes."""
    nodes = file.proto.graph.node
    order: list[int] = []
    done: dict[int, bool] = {}  # False: begun
    stack: list[tuple[int, Iterator[str]]] = []
    for start in (maker[name] for name in wanted if name in maker):
        if start not in done:
            done[start] = False
            stack.append((start, iter(sources_of(nodes[start]))))
        while stack:
            index, left = stack[-1]
            name = next(left, None)
            if name is None:
                done[index] = True
                order.append(index)
                stack.pop()
            elif name in maker and maker[name] not in done:
                done[maker[name]] = False
                stack.append((maker[name], iter(sources_of(nodes[maker[name]]))))
            elif name in maker and not done[maker[name]]:
                message = f"lies on a cycle: it reads {name!r}, which depends on it"
                raise file.problem(message, named(nodes[index]))
            elif name not in maker and name not in given:
                message = f"reads {name!r}, which nothing in the model makes"
                raise file.problem(message, named(nodes[index]))
    return order
