"""Nodes that pad, resize or make feature maps larger."""

import math

from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    axes_of,
    checked,
    constant,
    integers,
    kept_shape,
    known,
    number,
    optional,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rules.contractions import both, spatial
from accelsim.frontend.onnx.rules.functions import LARGEST
from accelsim.frontend.onnx.rules.moves import part
from accelsim.network.ops import ConvTranspose, Pad, Phase, Resize, Shape, Slice
from accelsim.units import ceil_div


def pad(node: Node, layers: Layers) -> str:
    """Values around a tensor; the batch stays as it is."""
    source, shape = tensor(node, 0, layers)
    rank = len(shape) + 1
    given = optional(node, 1, "pads")
    pads = integers(node.attributes.get("pads", ()) if given is None else known(given, "pads"))
    chosen = optional(node, 3, "axes")
    axes = axes_of(integers(known(chosen, "axes")) if chosen else range(rank), rank)
    if len(pads) != 2 * len(axes):
        raise Refused(f"pads {list(pads)} for {len(axes)} axes")
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis], after[axis] = pads[place], pads[len(axes) + place]
    if before[0] or after[0]:
        raise Refused("over the batch")
    if kept_shape(shape) != shape:
        raise Refused(f"of {rank} axes")
    source = _without_cut(node, layers, (source, shape), before[1:], after[1:])
    before, after = ([max(each, 0) for each in sides] for sides in (before, after))
    mode = node.attributes.get("mode", "constant")
    if mode == "wrap":
        return _wrapped(node, layers, source, before[1:], after[1:])
    value = number(optional(node, 2, "value"), float(node.attributes.get("value", 0.0)), "value")
    if math.isnan(value):
        raise Refused("with a number that is none")
    value = min(max(value, -LARGEST), LARGEST)
    op = checked(Pad, before=before[1:], after=after[1:], mode=mode, value=value)
    return layers.add(node.name, op, source)


def _wrapped(node: Node, layers: Layers, source: str, before: list[int], after: list[int]) -> str:
    """What lies at the other end, axis by axis."""
    for axis, (ahead, behind) in enumerate(zip(before, after, strict=True)):
        size = layers.shapes[source][axis]
        if max(ahead, behind) > size:
            raise Refused(f"wrapped {max(ahead, behind)} around the {size} values of an axis")
        ends = (slice(size - ahead, size, 1), slice(0, behind, 1))
        first, last = (
            [part(layers, f"{node.name}/end", source, axis, each)] if each.stop > each.start else []
            for each in ends
        )
        if first or last:
            source = layers.joined(node.name, [*first, source, *last], axis)
    return source


def _without_cut(
    node: Node, layers: Layers, of: tuple[str, Shape], before: list[int], after: list[int]
) -> str:
    """What is left where less than nothing is put around."""
    source, shape = of
    if min(*before, *after) >= 0:
        return source
    start = tuple(max(-each, 0) for each in before)
    stop = tuple(size + min(each, 0) for size, each in zip(shape, after, strict=True))
    return layers.add(f"{node.name}/cut", checked(Slice, start=start, stop=stop), source)


_MODES = {"nearest": "nearest", "linear": "bilinear"}


def resize(node: Node, layers: Layers) -> str:
    """A feature map in another size, by nearest values or linearly."""
    source, shape = tensor(node, 0, layers)
    wanted, said = node.outputs[0].shape, node.attributes
    if wanted is None or len(shape) != 3 or wanted[:2] != (layers.graph.batch, shape[0]):
        raise Refused(f"of {[layers.graph.batch, *shape]}; only rows and columns of maps")
    mode = _MODES.get(said.get("mode", "nearest"))
    if mode is None or said.get("antialias"):
        raise Refused(f"mode {said.get('mode')}{' with antialias' * bool(said.get('antialias'))}")
    old = node.op == "Upsample" or node.version < 11
    coordinates = "asymmetric" if old else said.get("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else said.get("nearest_mode", "round_prefer_floor")
    keys = {"mode": mode, "coordinates": coordinates, "rounding": rounding}
    scales = _uneven(node, shape[1:], wanted[2:])
    if scales and coordinates == "align_corners":
        raise Refused(f"by corners, and scales {list(scales)} that do not come out even")
    op = checked(Resize, size=wanted[2:], scales=scales, **keys)
    return layers.add(node.name, op, source)


def _uneven(node: Node, given: Shape, wanted: Shape) -> tuple[float, ...] | None:
    """Scales down and across by which the sizes do not come out even."""
    scales = _scales(node, given)
    pairs = zip(given, scales or (), wanted, strict=False)
    even = all(math.isclose(size * scale, new, abs_tol=1e-4) for size, scale, new in pairs)
    return None if even else scales


def _scales(node: Node, given: Shape) -> tuple[float, ...] | None:
    """The scales down and across, if the node says them, or sizes of which only one is kept."""
    if "scales" in node.attributes:
        return tuple(node.attributes["scales"][-2:])
    axes = [axis % 4 for axis in node.attributes.get("axes", range(4))]
    place = 1 if node.op == "Upsample" or node.version < 11 else 2
    scales = dict(zip(axes, _reals(node, place, "scales"), strict=False))
    if scales:
        return scales.get(2, 1.0), scales.get(3, 1.0)
    pick = _KEPT.get(node.attributes.get("keep_aspect_ratio_policy", "stretch"))
    if pick is None:
        return None
    sizes = zip(axes, _reals(node, 3, "sizes"), strict=False)
    kept = pick(size / given[axis - 2] for axis, size in sizes if axis > 1)
    return tuple(kept if axis in axes else 1.0 for axis in (2, 3))


_KEPT = {"not_larger": min, "not_smaller": max}
"""Which of the scales is that of all axes, by the policy."""


def _reals(node: Node, place: int, what: str) -> list[float]:
    found = optional(node, place, what)
    return [] if found is None else [float(each) for each in known(found, what).reshape(-1)]


def conv_transpose(node: Node, layers: Layers) -> str:
    """A transposed convolution, phase by phase of its stride."""
    source, shape, axes = spatial(node, 0, layers)
    weight, bias = constant(node, 1, "weight"), optional(node, 2, "bias")
    groups = int(node.attributes.get("group", 1))
    if len(weight.shape) != axes + 2 or weight.shape[0] != shape[0]:
        raise Refused(f"its weight has shape {list(weight.shape)} for {list(shape)}")
    if groups < 1 or weight.shape[0] % groups:
        raise Refused(f"{weight.shape[0]} channels in {groups} groups")
    kernel, stride = both(weight.shape[2:], axes), both(node.attributes.get("strides"), axes)
    dilation = both(node.attributes.get("dilations"), axes)
    extent = (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1
    cut, more = _cut(node, layers.shapes[source], extent, axes)
    op = checked(
        ConvTranspose,
        out_channels=weight.shape[1] * groups,
        kernel=kernel,
        stride=stride,
        padding=cut,
        output_padding=more,
        dilation=dilation,
        groups=groups,
        bias=bias is not None,
    )
    assert isinstance(op, ConvTranspose)
    learned = {"weight": Learned(weight).channels_first(groups)}
    if bias is not None:
        learned["bias"] = Learned(bias)
    made = source
    for name, each, inputs in op.parts(node.name, (source,)):
        own = learned if isinstance(each, Phase) and each.owner is None else {}
        made = layers.add(name, each, *inputs, learned=own)
    return layers.view(made, layers.shapes[made][: axes + 1])


def _cut(
    node: Node, shape: Shape, extent: tuple[int, int], axes: int
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """What is cut off the ofmap (top, bottom, left, right), and added at the bottom and right.

    `extent` is how far the kernel reaches, down and across.
    """
    said = node.attributes
    more = both(said.get("output_padding"), axes, 0)
    auto = said.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID", "") and not said.get("output_shape"):
        pads = integers(said.get("pads", (0,) * 2 * axes))
        before, after = both(pads[:axes], axes, 0), both(pads[axes:], axes, 0)
        return (before[0], after[0], before[1], after[1]), more
    if auto.startswith("SAME") and any(more):
        raise Refused(
            f"auto_pad {auto} with output_padding, which onnx and its runtimes size apart"
        )
    wanted = both((node.outputs[0].shape or ())[2:], axes)
    sides, added = [], []
    for n, f, s, beyond, size in zip(
        shape[1:], extent, both(said.get("strides"), axes), more, wanted, strict=True
    ):
        total = (n - 1) * s + f + beyond - size
        less = max(total, 0) // 2 if auto == "SAME_UPPER" else ceil_div(max(total, 0), 2)
        sides += [less, max(total, 0) - less]
        added.append(beyond + max(-total, 0))
    return (sides[0], sides[1], sides[2], sides[3]), (added[0], added[1])
