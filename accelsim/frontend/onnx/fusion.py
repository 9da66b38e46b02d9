"""Functions put into the layer before them, as accelerators compute them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from accelsim.network.graph import LayerSpec
from accelsim.network.ops import ACTIVATIONS, Activation, Elementwise, Relu

_NAMES: Mapping[Elementwise, Activation] = {row: name for name, row in ACTIVATIONS.items()}


def fused(
    specs: Iterable[LayerSpec], outputs: set[str], meanings: Mapping[str, object]
) -> tuple[list[LayerSpec], dict[str, str]]:
    """The layers, in an order that can run, without those that the network's outputs do not need
    and with each function in the layer before it, where nothing else reads that.

    Requires: inputs before their readers. Ensures: the same values at `outputs`; a function's
    readers read the layer that has it, which is returned, too, for each. What has codes of its own
    by `meanings` is rounded to them before a function, so only a relu of these same codes follows
    it there.
    """
    needed = _needed(list(specs), outputs)
    readers = Counter(name for spec in needed for name in spec.inputs)
    kept: dict[str, LayerSpec] = {}
    stands: dict[str, str] = {}
    for spec in needed:
        inputs = tuple(stands.get(name, name) for name in spec.inputs)
        before = kept.get(inputs[0]) if len(inputs) == 1 else None
        alone = readers[spec.inputs[0]] == 1 and spec.inputs[0] not in outputs
        if before and alone and _of_codes(spec, meanings):
            op = _with(before, spec)
            if op is not None:
                kept[before.name] = op
                stands[spec.name] = before.name
                continue
        kept[spec.name] = replace(spec, inputs=inputs)
    return list(kept.values()), stands


def _of_codes(spec: LayerSpec, meanings: Mapping[str, object]) -> bool:
    """Whether a function may follow what it reads without a rounding between them."""
    own = meanings.get(spec.inputs[0])
    return own is None or (isinstance(spec.op, Relu) and meanings.get(spec.name, own) == own)


def _with(before: LayerSpec, spec: LayerSpec) -> LayerSpec | None:
    """The layer `before` with a function; None where it cannot have it."""
    if not isinstance(spec.op, Elementwise) or getattr(before.op, "activation", "") is not None:
        return None
    name = _NAMES.get(spec.op)
    if name is None:
        return None
    return replace(before, op=replace(before.op, activation=name))  # type: ignore[call-arg]


def _needed(specs: list[LayerSpec], outputs: set[str]) -> list[LayerSpec]:
    """Those that outputs depend on: a layer that another has taken the place of is not."""
    wanted = set(outputs)
    kept = []
    for spec in reversed(specs):
        if spec.name in wanted:
            kept.append(spec)
            wanted |= set(spec.inputs)
    return kept[::-1]
