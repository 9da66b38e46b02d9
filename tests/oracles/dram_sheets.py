"""The data sheets that are shipped, for tests."""

from typing import Any

from hypothesis import strategies as st

from accelsim.dram.sheet import DramTiming
from accelsim.frontend.dram_sheet import dram_sheet, dram_standards

STANDARDS = dram_standards()
SHEETS: dict[str, DramTiming] = {name: dram_sheet(name) for name in STANDARDS}


def changed(name: str, **values: object) -> DramTiming:
    """A shipped sheet with other values."""
    return DramTiming.model_validate({**SHEETS[name].model_dump(), **values})


def clocks(most: int) -> st.SearchStrategy[int]:
    return st.integers(1, most)


@st.composite
def sheets(draw: st.DrawFn) -> DramTiming:
    """Any sheet that the schema takes: nothing but what it refuses is ruled out."""
    least = {"nRCD": draw(clocks(60)), "nRP": draw(clocks(40)), "nBL": draw(clocks(16))}
    active = least["nRCD"] + draw(st.integers(0, 40))
    latency = {"nCL": draw(clocks(60)), "nCWL": draw(clocks(60))}
    turn = max(latency["nCL"] + least["nBL"] - latency["nCWL"], 1)
    powers = {"data_buses": 2, "bank_groups": 3, "banks": 3}
    several = ("nRTP", "nWR", "nCCDL", "nRRDS", "nRRDL", "nFAW", "nWTRS", "nWTRL", "nRFC")
    optional = ("nRCDWR", "nRPab", "nBL_L", "nCCDL_WR", "nPPD")
    split = draw(st.booleans())
    values: dict[str, Any] = {
        "standard": "drawn",
        "tCK_ps": 1000,
        "burst_bytes": 32,
        "command_bus": "split" if split else "shared",
        "activate_slots": draw(clocks(4)),
        **{name: 2 ** draw(st.integers(0, most)) for name, most in powers.items()},
        "row_bursts": 2 ** draw(st.integers(2, 8)),
        "column_slots": draw(clocks(4)),
        **least,
        **latency,
        "nRAS": active,
        "nRC": active + least["nRP"] + draw(st.integers(-1, 10)),
        "nCCDS": least["nBL"] + draw(st.integers(0, 4)),
        "nREFI": 4000,
        **{name: draw(clocks(30)) for name in several},
        **{name: draw(st.none() | clocks(30)) for name in optional},
        "nRTW": draw(st.none() | st.integers(turn, turn + 20)),
    }
    if not split and draw(st.booleans()):
        values |= {"activate_slots": 2, "nAAD": draw(clocks(16))}
    return DramTiming.model_validate(values)
