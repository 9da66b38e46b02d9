"""The codes of a quantized model, by the keys of a parameter file."""

from collections.abc import Iterator, Mapping

from accelsim.frontend.onnx.constants import Constant, Folded
from accelsim.frontend.onnx.layers import Codes, Layers, Meaning, Refused, zero_point
from accelsim.frontend.onnx.learned import Learned, Quantized, Recipes
from accelsim.network.graph import Layer, Network
from accelsim.network.ops import Shape

_UINT8 = 2
Entry = tuple[str, tuple[Learned, Shape]]


def quantized(
    network: Network, layers: Layers, stands: Mapping[str, str], recipes: Recipes
) -> Quantized | None:
    """All codes of a model; None where some layer that has a weight has it in real numbers only.

    `stands` says into which layers functions have gone, `recipes` where the real numbers are of
    layers without a weight.
    """
    weighty = [layer for layer in network.layers if "weight" in layer.parameter_shapes]
    codes = {layer.name: _codes(layer, layers) for layer in weighty}
    own = {layer.name for layer in network.layers} - {layer.name for layer in weighty}
    arrays = {key: recipe for key, recipe in recipes.items() if key.rpartition(".")[0] in own}
    signed: dict[str, bool] = {}
    for layer in weighty:
        found = codes[layer.name]
        if found is None:
            return None
        arrays |= dict(_arrays(layer, found))
        element = getattr(found.weight.source, "element", 0)
        signed[f"{layer.name}.weight"] = element != _UINT8
        signed[f"{layer.name}.weight_zero_point"] = element != _UINT8
    activations: dict[str, bool] = {}
    for name, meaning in _meanings(network, layers, stands):
        prefix = f"{name}." if name in network.inputs else f"{name}.output_"
        arrays[f"{prefix}scale"] = Learned(meaning.scale), ()
        arrays[f"{prefix}zero_point"] = Learned(float(meaning.zero_point)), ()
        activations[f"{prefix}zero_point"] = meaning.signed
    return Quantized(arrays, activations, signed) if weighty else None


def _codes(layer: Layer, layers: Layers) -> Codes | None:
    """The codes of a layer: an integer operator's, or what a DequantizeLinear reads."""
    found = layers.codes.get(layer.name) or _read_by_dequantize(layers.learned[layer.name])
    if found is None:
        return None
    channels = layer.parameter_shapes["weight"][0]
    size = 1
    for each in found.scale.shape:
        size *= each
    has_bias = "bias" in layer.parameter_shapes
    try:
        zero_point(found.zero_point)
    except Refused:
        return None
    return found if size in (1, channels) and has_bias == (found.bias is not None) else None


def _read_by_dequantize(learned: Mapping[str, Learned]) -> Codes | None:
    weight, bias = learned["weight"], learned.get("bias")
    inner = _before(weight)
    if inner is None or len(inner) < 2 or inner[0] is None or inner[1] is None:
        return None
    zero = inner[2] if len(inner) > 2 else None
    codes = Learned(inner[0], weight.steps)
    if bias is None:
        return Codes(codes, inner[1], zero, None)
    of_bias = _before(bias)
    if of_bias is None or of_bias[0] is None or bias.steps:
        return None
    return Codes(codes, inner[1], zero, Learned(of_bias[0]))


def _before(learned: Learned) -> tuple[Constant | None, ...] | None:
    """What the DequantizeLinear reads that makes an array, at most turned since."""
    source = learned.source
    turned = all(verb == "transpose" for verb, _ in learned.steps)
    if not isinstance(source, Constant) or not isinstance(source.source, Folded) or not turned:
        return None
    return source.source.inputs if source.source.op == "DequantizeLinear" else None


def _arrays(layer: Layer, codes: Codes) -> Iterator[Entry]:
    shapes = layer.parameter_shapes
    yield f"{layer.name}.weight", (codes.weight, shapes["weight"])
    if codes.bias is not None:
        yield f"{layer.name}.bias", (codes.bias, shapes["bias"])
    one = not codes.scale.shape or codes.scale.shape == (1,)
    scale: Shape = () if one else shapes["weight"][:1]
    yield f"{layer.name}.weight_scale", (Learned(codes.scale), scale)
    zero = float(zero_point(codes.zero_point))
    yield f"{layer.name}.weight_zero_point", (Learned(zero), ())


def limits(network: Network, layers: Layers, stands: Mapping[str, str]) -> dict[str, float]:
    """Where real numbers that stand for codes end, by the keys of a parameter file."""
    found: dict[str, float] = {}
    cut = {stands.get(name, name) for name in layers.cut}
    for name, meaning in _meanings(network, layers, stands):
        prefix = f"{name}." if name in network.inputs else f"{name}.output_"
        if name in cut:
            found |= zip((f"{prefix}lowest", f"{prefix}highest"), meaning.limits, strict=True)
    return found


def _meanings(
    network: Network, layers: Layers, stands: Mapping[str, str]
) -> Iterator[tuple[str, Meaning]]:
    """What tensors stand for, by the layers that make them now."""
    for name, meaning in layers.meanings.items():
        place = stands.get(name, name)
        if place in network.inputs or place in network.by_name:
            yield place, meaning
