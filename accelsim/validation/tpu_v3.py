"""TPU v3, measured: GEMMs, convolutions, normalisations, attention and a network on one core.

The cycles are those of XLA's own programs, whose tiles and fusion are not published. Beside them
four simulators were run by the same authors; the band of a row is the error of the nearest of
these, and at most 10 %. Nothing of `configs/tpu_v3.yaml` was changed for it.
"""

from collections.abc import Callable, Iterator, Mapping

from accelsim.facade import simulate
from accelsim.frontend import load_network
from accelsim.frontend.hardware_file import load_hardware
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Conv, Dense, LayerNorm, MatMul, Op, Softmax
from accelsim.validation.data import table
from accelsim.validation.reference import Comparison, Reference

MOST = 0.1
"""No band is wider, however far the others are."""

SIMULATORS = {
    "mnpusim": "mNPUsim",
    "timeloop": "Timeloop",
    "maestro": "MAESTRO",
    "scalesim_v3": "SCALE-Sim v3",
}

JUDGED = "conv_"
"""Rows that are judged: what takes so long that how XLA tiles it and starts it matters little."""

_UNKNOWN = "not judged, for XLA's tiles, what it fuses and how it starts a program are not known"
_ALONE = (
    "not judged, for no other simulator was run: the vector unit here is never idle and moves its "
    "data once; how many passes XLA takes, and in which format, is not known"
)

Workload = tuple[Network, int]
"""A network, and images at a time."""


def workload(name: str) -> Workload:
    """What a row of the table names: kind, then sizes with x between them."""
    kind, _, sizes = name.partition("_")
    if not sizes:
        return load_network(kind), 1
    return KINDS[kind](*map(int, sizes.split("x")))


def _one(op: Op, *shape: int) -> Network:
    return build_network(op.name, {"input": shape}, [LayerSpec("layer", op, ("input",))])


def _gemm(m: int, k: int, n: int) -> Workload:
    return _one(Dense(out_features=n, bias=False), m, k), 1


def _conv(*sizes: int) -> Workload:
    """Images, rows, columns, channels, filters, kernel, stride, padding."""
    images, rows, cols, channels, filters, kernel, stride, pad = sizes
    op = Conv(
        out_channels=filters,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        padding=(pad,) * 4,
        bias=False,
    )
    return _one(op, channels, rows, cols), images


def _attention(heads: int, length: int, size: int) -> Workload:
    """Scores, softmax and their product with the values, of given queries, keys and values."""
    inputs = dict.fromkeys(("queries", "keys", "values"), (heads, length, size))
    specs = [
        LayerSpec("scores", MatMul(transpose_second=True), ("queries", "keys")),
        LayerSpec("weights", Softmax(axis=2), ("scores",)),
        LayerSpec("context", MatMul(), ("weights", "values")),
    ]
    return build_network("attention", inputs, specs), 1


KINDS: dict[str, Callable[..., Workload]] = {
    "gemm": _gemm,
    "conv": _conv,
    "layernorm": lambda *shape: (_one(LayerNorm(), *shape), 1),
    "softmax": lambda *shape: (_one(Softmax(), *shape), 1),
    "attention": _attention,
}
"""How a row's sizes make a network."""


def others(row: Mapping[str, str]) -> dict[str, float]:
    """Relative errors of the simulators that were run."""
    measured = float(row["tpuv3_cycles"])
    return {name: float(row[key]) / measured - 1 for key, name in SIMULATORS.items() if row[key]}


def compare() -> Iterator[Comparison]:
    """Each row of the table."""
    hardware = load_hardware("tpu_v3")
    for row in table("tpu_v3_measured"):
        network, images = workload(row["workload"])
        yield of_row(row, simulate(network, hardware, batch=images).cycles)


def of_row(row: Mapping[str, str], cycles: int) -> Comparison:
    """What was measured in a row beside the cycles that accelsim says."""
    measured, errors = float(row["tpuv3_cycles"]), others(row)
    said = ", ".join(f"{name} {error:+.1%}" for name, error in errors.items())
    band = min([MOST, *map(abs, errors.values())])
    judged = row["workload"].startswith(JUDGED)
    notes = (said, "" if judged else _UNKNOWN if errors else _ALONE)
    return Comparison(
        case=row["workload"],
        quantity="cycles",
        unit="cycles",
        measured=measured,
        modelled=cycles,
        band=band if judged else None,
        note="; ".join(filter(None, notes)),
        aim=band,
    )


REFERENCE = Reference(
    name="tpu_v3",
    title="Google TPU v3, one core, measured; four simulators beside it",
    source="PyTorchSim's artifact (MIT licence, MICRO 2025), experiments/artifact/"
    "baseline_cycle.csv; the core: Norrie et al., IEEE Micro 41(2), 2021",
    assumption="configs/tpu_v3.yaml as published, convolutions by tap, tiles as the search finds "
    "them; each layer from and to HBM. The band is the error of the nearest of the four, at most "
    "10 %. What an instruction takes to start, 1,300 cycles by the smallest GEMM, is not told.",
    compare=compare,
)
