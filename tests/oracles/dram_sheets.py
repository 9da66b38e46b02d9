"""The data sheets that are shipped, for tests."""

from accelsim.dram.sheet import DramTiming
from accelsim.frontend.dram_sheet import dram_sheet, dram_standards

STANDARDS = dram_standards()
SHEETS: dict[str, DramTiming] = {name: dram_sheet(name) for name in STANDARDS}


def changed(name: str, **values: object) -> DramTiming:
    """A shipped sheet with other values."""
    return DramTiming.model_validate({**SHEETS[name].model_dump(), **values})
