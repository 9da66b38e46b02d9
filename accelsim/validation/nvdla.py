"""NVDLA, as its makers estimate it, and VTA's RTL: AlexNet and ResNets.

The spreadsheet takes for each layer the longer of two counts: MACs through 64 channels x 32
filters, and what crosses DRAM at least. It counts no idle channels and no fill, pools and adds on
the way out, shares the weights of dense layers among 16 images, and takes 3x3 convolutions of
stride 1 by Winograd's F(2x2, 3x3): 16 products for 36, and weights of 4x4. A layer of stride s has
the weights of s x s phases of stride 1, each as large as the largest: with 1x1 filters and stride 2
four taps, three of which are zero. (Its first layers agree: 8x8 weights for 7x7 and stride 2, 12x12
for 11x11 and stride 4.)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from accelsim.facade import simulate
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.lowering.dataflow import array_model, fold_count
from accelsim.lowering.kernels import GemmKernel, kernel_of
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Add, Conv, Dense, MaxPool
from accelsim.units import ceil_div
from accelsim.validation.data import FOLDER, table
from accelsim.validation.reference import Comparison, Reference

IMAGES = 16
"""Among which the spreadsheet shares the weights of a dense layer."""

POOLED = {("AlexNet", "2")}
"""Layers whose ofmap the spreadsheet counts as it is after its pooling, first layers left out."""

LONGER_MACS = (
    "not judged: MACs (those on the zeros of a stride, too) take longer here, so the fastest "
    "tiling need not move the least"
)
TRAFFIC = {
    "AlexNet 2": LONGER_MACS,
    "ResNet50 Res3a_branch1": LONGER_MACS,
    "ResNet50 Res5c_branch2c": "not judged: the sheet pools this sum with what it adds, too",
}
"""Layers whose traffic is shown and not judged."""

MACS = (
    "not judged: the sheet counts neither idle channels nor idle filters, and has one layer "
    "(Res2a_branch2a) twice as long as its own MACs"
)
CYCLES = (
    "not judged: the sheet has no fill, first load or last store, takes a KiB as 1,000 B, and has "
    "the last layer of ResNet-50 as of all its images"
)
ROUNDED = 1 / 64
"""KiB by which the sheet may be larger: it rounds what is written to 16 channels."""


@dataclass(frozen=True)
class Estimate:
    """A row of the spreadsheet."""

    row: Mapping[str, str]

    @property
    def sizes(self) -> dict[str, int]:
        """Its extents: C, H, W, K, R, S, stride, P, Q."""
        return {key: int(self.row[key]) for key in ("C", "H", "W", "K", "R", "S", "stride", "P")}

    @property
    def is_dense(self) -> bool:
        """Whether its weights are shared among images."""
        return self.row["type"] == "fc"

    @property
    def can_be_held(self) -> bool:
        """Whether it is neither a first layer, which has a mode of its own, nor by Winograd."""
        size = self.sizes
        by_winograd = size["R"] == 3 and size["stride"] == 1
        return size["C"] > 3 and not by_winograd

    @property
    def with_zeros(self) -> "Estimate":
        """The layer with the zeros that make the phases of its stride equal."""
        stride = self.sizes["stride"]
        taps = {key: str(ceil_div(self.sizes[key], stride) * stride) for key in ("R", "S")}
        return Estimate({**self.row, **taps})

    def network(self) -> Network:
        """The layer alone, with what it adds or pools on the way out."""
        size = self.sizes
        shape = (size["C"], size["H"], size["W"])
        if self.is_dense:
            specs = [LayerSpec("layer", Dense(out_features=size["K"], bias=False), ("x",))]
            return build_network("layer", {"x": shape}, specs)
        kernel, stride = (size["R"], size["S"]), (size["stride"],) * 2
        side = (size["R"] - 1) // 2
        conv = Conv(
            out_channels=size["K"], kernel=kernel, stride=stride, padding=(side,) * 4, bias=False
        )
        inputs, specs = {"x": shape}, [LayerSpec("layer", conv, ("x",))]
        if "elwise" in self.row["type"]:
            inputs["y"] = (size["K"], size["P"], size["P"])
            specs.append(LayerSpec("sum", Add(), ("layer", "y")))
        if (self.row["network"], self.row["layer"]) in POOLED:
            pool = MaxPool(kernel=(3, 3), stride=(2, 2))
            specs.append(LayerSpec("pool", pool, ("layer",)))
        return build_network("layer", inputs, specs)

    def compared(self, hardware: Hardware) -> Iterable[Comparison]:
        """DRAM, MAC cycles, and the longer of both, for an image."""
        row, size, images = self.row, self.sizes, IMAGES if self.is_dense else 1
        run = simulate(self.network(), hardware, batch=images)
        moves = run if size["stride"] == 1 else simulate(self.with_zeros.network(), hardware)
        case = f"{row['network']} {row['layer'].split(' ')[0]}"
        note = TRAFFIC.get(case, "")
        least, moved = float(row["dram_kib"]), moves.dram.total_bytes / images / 1024
        band = None if note else 0.0
        yield Comparison(
            case=case,
            quantity="DRAM",
            unit="KiB",
            measured=least,
            modelled=moved,
            band=band,
            note=note,
            half_digit=ROUNDED,
        )
        macs, streaming = float(row["mac_cycles"]), self.streaming(hardware)
        as_it_says = macs == int(row["macs"]) / hardware.pes
        judged = as_it_says and size["C"] % 64 == size["K"] % 32 == 0
        band, note = (0.0, "") if judged else (None, MACS)
        yield Comparison(
            case=case,
            quantity="MAC cycles",
            unit="",
            measured=macs,
            modelled=streaming,
            band=band,
            note=note,
        )
        longest = float(row["max_cycles"])
        yield Comparison(
            case=case,
            quantity="cycles",
            unit="",
            measured=longest,
            modelled=run.cycles / images,
            band=None,
            note=CYCLES,
        )

    def streaming(self, hardware: Hardware) -> int:
        """Cycles in which pixels stream through all folds, without fill and drain."""
        kernel = kernel_of(self.network().layers[0], 1)
        assert isinstance(kernel, GemmKernel)
        return fold_count(array_model(hardware), kernel.gemm) * kernel.gemm.m


def estimated() -> Iterable[Comparison]:
    """The layers that can be held, equal ones once."""
    hardware = load_hardware(FOLDER / "nvdla.yaml")
    known: set[tuple[object, ...]] = set()
    for row in map(Estimate, table("nvdla_spreadsheet")):
        key = (row.row["network"], row.row["type"], *row.sizes.values(), row.row["dram_kib"])
        if row.can_be_held and key not in known:
            known.add(key)
            yield from row.compared(hardware)


ON_HOST = {"conv1", "conv1/conv", "norm1", "maxpool", "norm2", "avgpool", "fc1000", "prob"}
"""What runs on the CPU: the first layer and what is behind the last sum."""

VTA_NETWORKS: dict[str, str | Path] = {
    "resnet18_v1": "resnet18",
    "resnet50_v2": FOLDER / "resnet50_v2.yaml",
}

_VTA = (
    "not judged: the schedules of its loops, the cycles of its ALU for sums, normalisation and "
    "requantization and its memory's latency are not described; of the totals the MACs alone are "
    "86 % and 70 %"
)


def compare_vta() -> Iterable[Comparison]:
    """Each network without what runs on the CPU, layer after layer."""
    hardware = load_hardware(FOLDER / "vta.yaml")
    for row in table("vta_chisel_resnet"):
        run = simulate(VTA_NETWORKS[row["network"]], hardware)
        on_chip = [layer for layer in run.layers if layer.name not in ON_HOST]
        case, measured = f"VTA {row['network']}", float(row["pipelined_gemm_cycles"])
        cycles = sum(layer.cycles for layer in on_chip)
        yield Comparison(
            case=case,
            quantity="cycles",
            unit="",
            measured=measured,
            modelled=cycles,
            band=None,
            note=_VTA,
        )
        busy = [layer.buckets for layer in on_chip if layer.macs]
        streaming = sum(each.useful + each.idle_pes for each in busy)
        yield Comparison(
            case=case,
            quantity="MACs alone",
            unit="",
            measured=measured,
            modelled=streaming,
            band=None,
            note=_VTA,
        )


def compare() -> Iterable[Comparison]:
    """NVDLA's layers, then VTA's network."""
    yield from estimated()
    yield from compare_vta()


REFERENCE = Reference(
    name="nvdla",
    title="NVDLA, its makers' spreadsheet: layers of AlexNet and ResNet-50; and VTA's RTL",
    source="nvdla/hw at 8e06b1b9d8, perf/NVDLA_OpenSource_Performance.xlsx: an estimate, not a "
    "measurement; github.com/apache/tvm-vta, pull request 30, with a pipelined GEMM core",
    assumption="64 channels by tap x 32 filters, pooling and sums on the way out. Of layers of "
    "stride 2 the traffic is that of four phases, whose 1x1 filters have three zeros. Left out are "
    "3x3 convolutions of stride 1, which the sheet takes by Winograd, as accelsim cannot; and "
    "first layers, which have a mode of their own. VTA is 16 x 16 MACs by tap whose weights change "
    "without a pause, and 8 bytes of memory a cycle",
    compare=compare,
)
