"""What an If chooses from, as nodes of the graph around it, which sleep until it has chosen.

An If whose condition is constant is the branch that it takes: that branch's nodes, and an Identity
for each output. They lie behind all others of the file's graph, so that each keeps its number
however the conditions turn out; tensors of a branch have names of their own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from accelsim.frontend.onnx.contributed import spelt_out

Owners = Mapping[int, tuple[int, bool]]
"""For each node of a branch the If, by its number, and whether it is what that does if true."""
Taken = Mapping[int, bool]
"""Ifs, by number, of which is known what they do."""
_SIDES = {"then_branch": True, "else_branch": False}


def with_branches(onnx: Any, proto: Any) -> Owners:
    """Put the nodes of all Ifs' branches behind the others of a model's graph."""
    owners: dict[int, tuple[int, bool]] = {}
    nodes, at = proto.graph.node, 0
    while at < len(nodes):
        for inner, taken in _branches(nodes[at]):
            start = len(nodes)
            _append(onnx, proto.graph, nodes[at], inner, taken)
            owners |= dict.fromkeys(range(start, len(nodes)), (at, taken))
        at += 1
    return owners


def is_awake(index: int, owners: Owners, taken: Taken) -> bool:
    """Whether a node is computed: all Ifs around it take its branch."""
    while index in owners:
        index, side = owners[index]
        if taken.get(index) != side:
            return False
    return True


def branch_of(index: int, side: bool, owners: Owners) -> list[int]:
    """The nodes of one branch of an If, in the order of the file."""
    return [at for at, owner in owners.items() if owner == (index, side)]


def _branches(node: Any) -> Iterator[tuple[Any, bool]]:
    """The graphs of an If, if they can be put into the one around it."""
    if node.op_type != "If" or node.domain not in ("", "ai.onnx"):
        return
    for said in node.attribute:
        graph = said.g
        fits = len(graph.output) == len(node.output) and not graph.sparse_initializer
        if said.name in _SIDES and fits and not graph.input:
            yield graph, _SIDES[said.name]


def _append(onnx: Any, graph: Any, chosen: Any, inner: Any, taken: bool) -> None:
    """A branch's nodes, arrays and what it declares, under new names."""
    ahead = f"{next(iter(chosen.output), '')}/{'then' if taken else 'else'}/"
    own = {name for node in inner.node for name in node.output if name}
    names = {name: f"{ahead}{name}" for name in (*own, *(each.name for each in inner.initializer))}
    for kind in ("initializer", "value_info"):
        for each in getattr(inner, kind):
            getattr(graph, kind).add().CopyFrom(each)
            getattr(graph, kind)[-1].name = names.get(each.name, each.name)
    sizes = {each.name: tuple(each.dims) for each in graph.initializer}
    for node in inner.node:
        renamed = onnx.NodeProto()
        renamed.CopyFrom(node)
        _rename(renamed, names)
        graph.node.extend(spelt_out(onnx, renamed, sizes))
    for made, value in zip(chosen.output, inner.output, strict=True):
        source = names.get(value.name, value.name)
        graph.node.append(onnx.helper.make_node("Identity", [source], [made]))


def _rename(node: Any, names: Mapping[str, str]) -> None:
    """A node, and the graphs within it, with other names of tensors."""
    for given in (node.input, node.output):
        given[:] = [names.get(name, name) for name in given]
    for said in node.attribute:
        for inner in (said.g, *said.graphs):
            for each in (*inner.input, *inner.output, *inner.initializer, *inner.value_info):
                each.name = names.get(each.name, each.name)
            for own in inner.node:
                _rename(own, names)
