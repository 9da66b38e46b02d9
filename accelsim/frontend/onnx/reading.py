"""A graph's nodes as layers, by the table of rules, with the batch that its inputs have or none."""

from accelsim.frontend.onnx.batch_axis import with_batch_first
from accelsim.frontend.onnx.constants import Store
from accelsim.frontend.onnx.coverage import WHY, Verdict, why_unknown
from accelsim.frontend.onnx.dynamic import with_dynamic_products
from accelsim.frontend.onnx.graph import Graph, Node
from accelsim.frontend.onnx.layers import Layers, Refused, kept_shape
from accelsim.frontend.onnx.padding import with_own_padding
from accelsim.frontend.onnx.patterns import with_patterns
from accelsim.frontend.onnx.rules import RULES

Reading = tuple[Graph, Layers, list[Verdict]]


def read_as_layers(graph: Graph, store: Store) -> Reading:
    """A graph with the batch first, its layers, and what of each node they say.

    Where the inputs have no leading axis in common, or what is done along it cannot be done image
    by image, all that a run is given is one image, if that can be simulated.
    """
    graph = with_dynamic_products(graph)
    found = None if graph.batch is None else _read(graph, store, whole=False)
    if found and (graph.batch == 1 or not _refused(found)):
        return found
    whole = _read(graph, store, whole=True)
    return found if found and _refused(whole) else whole


def _refused(reading: Reading) -> bool:
    return any(verdict.reason for verdict in reading[2])


def _read(graph: Graph, store: Store, whole: bool) -> Reading:
    graph = with_patterns(with_own_padding(with_batch_first(graph, store.values, whole)), store)
    layers = Layers(graph=graph)
    return graph, layers, [_translated(node, layers) for node in graph.nodes]


def _translated(node: Node, layers: Layers) -> Verdict:
    """Add a node's layers; what is refused stands as an input, so that the rest is looked at."""
    before = len(layers.specs)
    reason = ""
    try:
        layers.names[node.outputs[0].name] = _layer(node, layers)
    except Refused as error:
        reason = str(error)
    if reason:
        read = (layers.names.get(each.name, "") for each in node.inputs if each is not None)
        layers.kept.update(name for name in read if name in layers.specs)
        for value in node.outputs:
            if value.shape is not None:
                layers.names[value.name] = f"{value.name}/free"
                layers.free[f"{value.name}/free"] = kept_shape(value.shape[1:])
                layers.shapes[f"{value.name}/free"] = kept_shape(value.shape[1:])
    layers.note_readers(node, before)
    return Verdict(node, reason)


def _layer(node: Node, layers: Layers) -> str:
    """The layer that is a node's first output; raises Refused."""
    rule = RULES.get(node.op) if not node.domain else None
    shape = node.outputs[0].shape
    if rule is None or shape is None or WHY in node.attributes:
        raise Refused(why_unknown(node, rule is not None))
    made = rule(node, layers)
    if layers.shapes[made] != kept_shape(shape[1:]):
        raise Refused(f"makes {list(shape)}, but {list(layers.shapes[made])} as layers here")
    return made
