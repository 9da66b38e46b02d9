"""A layer's JSON form as a flat record, for CSV and data frames."""

from collections.abc import Mapping
from typing import Any

from accelsim.lowering.traffic import Dram

_PLAIN_KEYS = (
    *("macs", "parameters", "cycles", "start_cycle", "end_cycle", "array_cycles"),
    *("untiled_array_cycles", "vector_cycles", "busy_cycles", "dram_cycles"),
    *("utilization", "mapping_efficiency"),
    *("bound", "tiles"),
)
SAID_WHERE_ANY = ("zero_macs", "fused_into", "between_cycles")
"""What a layer's JSON leaves out where there is none."""
_PARTS = ("buffers", "dram_parts")


def layer_record(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer's JSON form, flat: the unit ends the name of each quantity that has one.

    Results of an earlier accelsim lack keys that came since; they stay empty.
    """
    gemm, dram, energy = layer["gemm"] or {}, Dram(**layer["dram"]), layer.get("energy", {})
    return {
        "layer": layer["name"],
        "op": layer["op"],
        "output_shape": "x".join(map(str, layer["output_shape"])),
        **{axis: gemm.get(axis) for axis in "mnk"},
        **{name: layer.get(name) for name in _PLAIN_KEYS},
        **{f"dram_{name}": count for name, count in layer["dram"].items()},
        "dram_read_bytes": dram.read_bytes,
        "dram_write_bytes": dram.write_bytes,
        "dram_saved_bytes": layer["dram_saved_bytes"],
        **{f"resident_{name}": count for name, count in layer["resident"].items()},
        **{f"sram_{name[:-1]}_words": count for name, count in layer["sram"].items()},
        **{f"inside_{name}": count for name, count in layer["inside"].items()},
        **{f"bucket_{name}_cycles": count for name, count in layer["buckets"].items()},
        "phase": layer.get("phase", "forward"),
        "inputs": "; ".join(layer.get("inputs", ())),
        "tiling": ", ".join(f"{key}: {size}" for key, size in (layer.get("tiling") or {}).items()),
        "layer_dataflow": layer.get("dataflow"),
        **{name: layer.get(name) for name in SAID_WHERE_ANY},
        **{name: layer[name] for name in ("energy_pj", "energy_pj_per_mac") if name in layer},
        **{f"energy_{name}_pj": value for name, value in energy.items() if name not in _PARTS},
        **{f"energy_buffer_{name}_pj": pj for name, pj in energy.get("buffers", {}).items()},
        **{f"energy_dram_{name}_pj": pj for name, pj in energy.get("dram_parts", {}).items()},
    }
