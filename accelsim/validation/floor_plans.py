"""Areas on published floor plans beside those of parts by energy tables, none of them judged."""

from collections.abc import Iterator

from accelsim.frontend.hardware_file import load_hardware
from accelsim.results.silicon import Chip, area_mm2
from accelsim.validation.reference import Comparison

TPU_MM2 = 331.0
"""The most that a die has that is less than half of Haswell's 662 mm2 (ISCA 2017, table 2)."""

TPU_SHARES = {"MXU": 0.24, "unified buffer": 0.29, "accumulators": 0.06, "DDR3 ports": 0.03}
"""Of the die, in 28 nm (figure 2)."""

EYERISS_CORE_MM2 = 12.25
"""3.5 mm a side, in 65 nm (JSSC 2017, table I)."""

_MACROS = "45 nm macros that CACTI estimated, where the chip is 28 nm, without buses between them"
_TPU_NOTES = {
    "MXU": "not judged: the chip is 28 nm, and multipliers, adders and registers are of a 40 nm "
    "library (Aladdin's), without wires and control; nothing is scaled. Its area is a share "
    "of at most 331 mm2: the die is less than half of Haswell's 662.",
    "unified buffer": f"not judged: {_MACROS}",
    "accumulators": f"not judged: {_MACROS}; and what adds is part of the chip's",
    "DDR3 ports": "not judged: of the 45 nm Core i7, with its controller, which is elsewhere on "
    "the TPU",
}
_EYERISS_NOTE = (
    "not judged: of 40 and 45 nm, where the chip is 65 nm, which alone is a factor of about 2.4; "
    "multipliers, adders, scratch pads and buffer, without networks, control, codec, clock and "
    "what lies empty"
)


def tpu_v1() -> Iterator[Comparison]:
    """Shares of the die that are parts of a hardware file, too."""
    chip = _chip("tpu_v1")
    ours = {
        "MXU": chip.pes,
        "unified buffer": chip.buffers["unified_buffer"],
        "accumulators": chip.buffers["accumulators"],
        "DDR3 ports": chip.dram_interface,
    }
    for part, share in TPU_SHARES.items():
        area, note = ours[part], _TPU_NOTES[part]
        assert area is not None, part
        yield Comparison(
            case="chip",
            quantity=f"{part} area",
            unit="mm2",
            measured=share * TPU_MM2,
            modelled=area,
            band=None,
            note=note,
        )


def eyeriss() -> Iterator[Comparison]:
    """The core, of which no parts are told."""
    area = _chip("eyeriss").total
    yield Comparison(
        case="chip",
        quantity="core area",
        unit="mm2",
        measured=EYERISS_CORE_MM2,
        modelled=area,
        band=None,
        note=_EYERISS_NOTE,
    )


def _chip(name: str) -> Chip:
    """The parts of a built-in chip by the one table that has areas."""
    chip = area_mm2(load_hardware(name, ["energy=horowitz_45nm"]))
    assert chip is not None
    return chip
