"""What both executors take and give: one layer ready to compute, and its ofmap."""

from dataclasses import dataclass, replace

from accelsim.network.graph import Layer
from accelsim.numerics.arithmetic import Arithmetic
from accelsim.numerics.formats import Array, Quantization, Tensor
from accelsim.numerics.parameters import LayerParameters


@dataclass(frozen=True, slots=True)
class Computation:
    """One layer, ready to compute: its ifmaps, learned values and the ofmap's quantization."""

    layer: Layer
    inputs: tuple[Tensor, ...]
    parameters: LayerParameters
    output: Quantization
    arithmetic: Arithmetic

    @property
    def batch(self) -> int:
        """Images computed at once, N."""
        return len(self.inputs[0].values)

    @property
    def ofmap_shape(self) -> tuple[int, ...]:
        """The shape of what is computed, images first, or 1 where all have one result."""
        return (self.batch if self.layer.op.batched else 1, *self.layer.output_shape)

    def stored(self, ofmap: "Ofmap") -> "Ofmap":
        """What was computed, as the tensor keeps it: real numbers that stand for codes are cut."""
        values = self.output.cut(ofmap.values, self.arithmetic.activation)
        return ofmap if values is ofmap.values else replace(ofmap, values=values)


@dataclass(frozen=True, slots=True)
class Ofmap:
    """What a layer computed, (N, *output_shape), and how many psums overflowed on the way."""

    values: Array
    overflowed: int = 0
