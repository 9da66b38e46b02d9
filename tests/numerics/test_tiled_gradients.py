"""Training steps by tiles against the reference: floats within the bound of their sums."""

from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import AvgPool, Concat, Conv, Dense, Dropout, Lrn, MaxPool

FMAP = (3, 9, 7)


def network(*, first: Conv | None = None):  # type: ignore[no-untyped-def]
    specs = [
        LayerSpec("a", first or Conv(out_channels=6, kernel=(3, 3), padding="same"), ("x",)),
        LayerSpec("b", Conv(out_channels=4, kernel=(3, 2), stride=(2, 1), groups=2), ("a",)),
        LayerSpec("n", Lrn(size=3, alpha=0.5), ("b",)),
        LayerSpec("m", MaxPool(kernel=(3, 3), stride=(1, 2), padding=(1, 1, 1, 1)), ("n",)),
        LayerSpec("v", AvgPool(kernel=(2, 2), stride=(1, 1)), ("m",)),
        LayerSpec("c", Conv(out_channels=5, kernel=(2, 1), activation="relu"), ("v",)),
        LayerSpec("d", Conv(out_channels=3, kernel=(2, 1), activation="silu"), ("v",)),
        LayerSpec("j", Concat(), ("c", "d")),
        LayerSpec("o", Dropout(rate=0.25), ("j",)),
        LayerSpec("e", Dense(out_features=7), ("o",)),
    ]
    return build_network("deep", {"x": FMAP}, specs)
