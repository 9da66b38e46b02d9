"""How the values of an ofmap are spread."""

import numpy as np

from accelsim.numerics.formats import Array, Format, IntegerFormat, Quantization
from accelsim.results.values import Spread


def spread_of(values: Array, format_: Format, quantization: Quantization) -> Spread:
    """The spread of an array (any shape) in a format, whose codes stand for real numbers."""
    if not values.size:
        return Spread()
    if isinstance(format_, IntegerFormat):
        ends = (values == format_.lowest) | (values == format_.highest)
    else:
        ends = ~np.isfinite(values)
    return Spread(
        least=float(values.min()),
        most=float(values.max()),
        mean=float(values.mean(dtype=np.float64)),
        zeros=float(np.mean(values == quantization.zero_point)),
        saturated=float(np.mean(ends)),
    )
