"""Small accelerators and networks: by hand, and to draw from."""

from typing import Any

from hypothesis import strategies as st

from accelsim.hardware import DATAFLOWS, Hardware
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Add, AvgPool, Concat, Conv, Dense, Lrn, MaxPool, Op, Relu, Shape

Buffers = dict[str, dict[str, Any]]

SYSTOLIC = ("os", "ws", "is")
"""The dataflows of a systolic array: every machine has them, and their laws count folds."""

SPADS: dict[str, Any] = {
    "ifmap_spad": 4,
    "filter_spad": 16,
    "psum_spad": 3,
    "ifmap_network": "1 B/cycle",
    "filter_network": "4 B/cycle",
    "psum_in_network": "8 B/cycle",
    "psum_out_network": "8 B/cycle",
    "pipeline_stages": 2,
}
"""PEs of a small row-stationary array."""

TINY_ARRAY: dict[str, Any] = {"rows": 4, "cols": 3, "dataflow": "ws", "row_stationary": SPADS}


def spads_setting(**changes: Any) -> str:
    """`SPADS`, some of them changed, as a setting of the command line."""
    pairs = ", ".join(f"{key}: {value}" for key, value in {**SPADS, **changes}.items())
    return f"array.row_stationary={{{pairs}}}"


def split(ifmap: str = "1 KiB", filters: str = "1 KiB", ofmap: str = "1 KiB") -> Buffers:
    """One buffer each for ifmap and filter, one for psums and ofmap."""
    return {
        "ifmap": {"holds": ["ifmap"], "size": ifmap},
        "filter": {"holds": ["filter"], "size": filters},
        "ofmap": {"holds": ["psum", "ofmap"], "size": ofmap},
    }


def unified(size: str) -> Buffers:
    return {"all": {"holds": ["ifmap", "filter", "psum", "ofmap"], "size": size}}


def separate_psums(size: str) -> Buffers:
    """Activations together, as in a TPU."""
    return {
        "activations": {"holds": ["ifmap", "ofmap"], "size": size},
        "weights": {"holds": ["filter"], "size": size},
        "accumulators": {"holds": ["psum"], "size": size},
    }


def machine(
    buffers: Buffers | None = None,
    array: dict[str, Any] | None = None,
    dram: dict[str, Any] | None = None,
    lanes: int = 4,
    residency: str = "off",
) -> Hardware:
    """4 x 3 MACs, weight stationary, serial; DRAM 4 B/cycle and 10 cycles away."""
    return Hardware.model_validate(
        {
            "name": "tiny",
            "clock": "1 GHz",
            "array": TINY_ARRAY | (array or {}),
            "buffers": buffers or split(),
            "vector_unit": {"lanes": lanes},
            "dram": {"bandwidth": "4 B/cycle", "latency": "10 cycles", **(dram or {})},
            "residency": residency,
        }
    )


def conv(filters: int, kernel: int = 1, stride: int = 1, padding: int = 0) -> Conv:
    """A square convolution."""
    sides = (padding,) * 4
    square = (kernel, kernel)
    return Conv(out_channels=filters, kernel=square, stride=(stride, stride), padding=sides)


def dense(features: int) -> Dense:
    return Dense(out_features=features)


def max_pool(kernel: int, stride: int | None = None, padding: int = 0) -> MaxPool:
    """A square pool."""
    step = stride or kernel
    return MaxPool(kernel=(kernel, kernel), stride=(step, step), padding=(padding,) * 4)


def chain(shape: Shape, *ops: Op) -> Network:
    """Layers a, b, c, ... one after another."""
    names = ["x", *"abcdefghij"[: len(ops)]]
    specs = [LayerSpec(names[i + 1], op, (names[i],)) for i, op in enumerate(ops)]
    return build_network("chain", {"x": shape}, specs)


@st.composite
def buffers(draw: st.DrawFn) -> Buffers:
    size = f"{draw(st.integers(40, 900))} B"
    made = draw(st.sampled_from([split(size, size, size), unified(size), separate_psums(size)]))
    for buffer in made.values():
        if draw(st.booleans()):
            buffer["bank"] = f"{draw(st.integers(1, 16))} B"
        if draw(st.booleans()):
            buffer["bandwidth"] = f"{draw(st.integers(1, 12))} B/cycle"
    return made


RATES = st.sampled_from(["1 B/cycle", "2.5 B/cycle", "64 B/cycle"])


def row_stationary() -> st.SearchStrategy[dict[str, Any]]:
    """Spads, networks and pipelines of PEs."""
    return st.fixed_dictionaries(
        {
            "ifmap_spad": st.integers(1, 6),
            "filter_spad": st.integers(6, 20),
            "psum_spad": st.integers(1, 5),
            "ifmap_network": RATES,
            "filter_network": RATES,
            "psum_in_network": RATES,
            "psum_out_network": RATES,
            "pipeline_stages": st.integers(1, 3),
            "objective": st.sampled_from(["time", "energy"]),
        }
    )


MACHINES = st.builds(
    machine,
    buffers(),
    st.fixed_dictionaries(
        {
            "rows": st.integers(1, 5),
            "cols": st.integers(1, 5),
            "dataflow": st.sampled_from(DATAFLOWS),
            "fold_overlap": st.sampled_from(["serial", "pipelined"]),
            "edge_folds": st.sampled_from(["full", "used"]),
            "drain": st.sampled_from(["rows", "cols"]),
            "drain_start": st.sampled_from(["lane", "array"]),
            "mac_stages": st.integers(1, 3),
            "psum_registers": st.integers(1, 2),
            "count": st.integers(1, 3),
            "row_stationary": row_stationary(),
        }
    ),
    st.fixed_dictionaries(
        {
            "bandwidth": st.sampled_from(["1 B/cycle", "7 B/cycle", "2.5 B/cycle", "64 B/cycle"]),
            "latency": st.sampled_from(["0 cycles", "7 cycles", "100 cycles"]),
            "burst": st.sampled_from(["1 B", "16 B"]),
        }
    ),
    st.integers(1, 4),
    st.sampled_from(["on", "off"]),
)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Up to five blocks: a layer, two branches that are added, or some that are concatenated."""
    specs: list[LayerSpec] = []

    def put(op: Op, *inputs: str) -> str:
        specs.append(LayerSpec(f"l{len(specs)}", op, inputs))
        return specs[-1].name

    def same() -> Conv:
        kernel = draw(st.sampled_from([1, 3]))
        return conv(draw(st.integers(1, 5)), kernel, padding=kernel // 2)

    last = "x"
    for _ in range(draw(st.integers(1, 4))):
        block = draw(st.sampled_from(["conv", "strided", "pool", "relu", "lrn", "add", "concat"]))
        if block == "add":
            op = same()
            last = put(Add(), put(op, last), put(op, last))
        elif block == "concat":
            pool = put(max_pool(3, 1, 1), last)
            last = put(Concat(), put(same(), last), put(same(), put(same(), last)), pool)
        else:
            op = {
                "conv": same(),
                "strided": conv(4, 2, 2, 1),
                "pool": AvgPool(kernel=(2, 2), stride=(1, 1), padding=(1, 0, 0, 1)),
                "relu": Relu(),
                "lrn": Lrn(size=3),
            }[block]
            last = put(op, last)
    if draw(st.booleans()):
        put(dense(draw(st.integers(1, 9))), last)
    side = draw(st.integers(2, 6))
    return build_network("drawn", {"x": (draw(st.integers(1, 4)), side, side)}, specs)


@st.composite
def tangled_networks(draw: st.DrawFn) -> Network:
    """Up to twelve layers of one height and width that read any tensors before them."""
    side = draw(st.integers(2, 6))
    channels = {"x": draw(st.integers(1, 4))}
    specs: list[LayerSpec] = []
    for number in range(draw(st.integers(2, 12))):
        op: Op = draw(st.sampled_from([conv(2), conv(5), conv(3, 3, 1, 1), max_pool(3, 1, 1)]))
        inputs = [draw(st.sampled_from(sorted(channels)))]
        kind = draw(st.sampled_from(["one", "one", "one", "relu", "add", "concat"]))
        width = channels[inputs[0]]
        if kind == "relu":
            op = Relu()
        elif kind == "add":
            op = Add()
            inputs.append(
                draw(st.sampled_from(sorted(n for n in channels if channels[n] == width)))
            )
        elif kind == "concat":
            op = Concat()
            inputs.append(draw(st.sampled_from(sorted(channels))))
        name = f"l{number:02d}"
        specs.append(LayerSpec(name, op, tuple(inputs)))
        if isinstance(op, Conv):
            channels[name] = op.out_channels
        else:
            channels[name] = sum(channels[n] for n in inputs) if kind == "concat" else width
    return build_network("tangled", {"x": (channels["x"], side, side)}, specs)
