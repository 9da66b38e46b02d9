"""What a search minimises: time, energy, or their product."""

from typing import Any

from accelsim.hardware import Objective

TRIED: dict[Objective, tuple[Objective, ...]] = {
    "time": ("time",),
    "energy": ("energy", "edp", "time"),
    "edp": ("edp", "energy", "time"),
}
"""For each objective those by which whole programs are searched, of which the best is taken.

Layers that cost least each by itself may not do so together: of what stays on chip for one there
is less room for others, and the product of sums is not the sum of products.
"""


def weighed(objective: Objective, cycles: Any, energy_pj: Any) -> Any:
    """Cycles, pJ, or cycles times pJ; of one or of many."""
    return {"time": cycles, "energy": energy_pj, "edp": cycles * energy_pj}[objective]
