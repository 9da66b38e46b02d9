"""The hardware schema: every key of the contract, its default and what it refuses."""

from copy import deepcopy
from fractions import Fraction
from inspect import signature
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from accelsim.hardware import COUPLED_PARTS, Buffer, Hardware, RowStationarySpec
from accelsim.number_formats import format_bits

FULL: dict[str, Any] = {
    "name": "edge_ws",
    "description": "an example",
    "clock": "1 GHz",
    "array": {
        "rows": 32,
        "cols": 16,
        "dataflow": "ws",
        "fold_overlap": "pipelined",
        "edge_folds": "used",
        "drain": "cols",
        "drain_start": "array",
        "mac_stages": 3,
        "psum_registers": 2,
        "count": 2,
    },
    "precision": {
        "ifmap": "uint8",
        "filter": "int8",
        "psum": "int24",
        "ofmap": "uint8",
        "psum_overflow": "saturate",
    },
    "buffers": {
        "ifmap_sram": {"holds": ["ifmap"], "size": "64 KiB", "bandwidth": "32 B/cycle"},
        "filter_sram": {"holds": ["filter"], "size": "32 KiB"},
        "ofmap_sram": {"holds": ["psum", "ofmap"], "size": "16 KiB"},
    },
    "vector_unit": {"lanes": 8},
    "dram": {"bandwidth": "16 GB/s", "latency": "100 ns", "burst": "64 B"},
    "residency": "off",
}


def without(path: str) -> dict[str, Any]:
    return changed(path, None)


def changed(path: str, value: object) -> dict[str, Any]:
    data = deepcopy(FULL)
    *parents, last = path.split(".")
    place = data
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return data


def test_every_key_is_read() -> None:
    hardware = Hardware.model_validate(FULL)
    assert (hardware.name, hardware.description, hardware.clock) == ("edge_ws", "an example", 10**9)
    array = hardware.array
    assert (array.rows, array.cols, array.count) == (32, 16, 2)
    assert (array.dataflow, array.fold_overlap, array.edge_folds) == ("ws", "pipelined", "used")
    assert (array.drain, array.drain_start) == ("cols", "array")
    assert (array.mac_stages, array.psum_registers) == (3, 2)
    assert hardware.pes == 32 * 16 * 2
    assert [hardware.precision.bytes_of(each) for each in ("ifmap", "filter", "psum", "ofmap")] == [
        *(1, 1, 3, 1)  # int24 takes three bytes
    ]
    assert hardware.precision.psum_overflow == "saturate"
    assert {name: buffer.size for name, buffer in hardware.buffers.items()} == {
        "ifmap_sram": 65536,
        "filter_sram": 32768,
        "ofmap_sram": 16384,
    }
    assert hardware.buffers["ofmap_sram"].holds == ("psum", "ofmap")
    assert hardware.buffer_bytes_per_cycle("ifmap_sram") == 32
    assert hardware.buffer_bytes_per_cycle("filter_sram") is None
    assert hardware.vector_unit.lanes == 8
    assert (hardware.dram_bytes_per_cycle, hardware.dram_latency_cycles) == (16, 100)
    assert hardware.dram.burst == 64


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("description", ""),
        ("array.fold_overlap", "serial"),
        ("array.edge_folds", "full"),
        ("array.drain", "rows"),
        ("array.drain_start", "lane"),
        ("array.mac_stages", 1),
        ("array.psum_registers", 1),
        ("array.count", 1),
        ("precision.ifmap", "int8"),
        ("precision.filter", "int8"),
        ("precision.psum", "int32"),
        ("precision.psum_overflow", "wrap"),
        ("buffers.ifmap_sram.bandwidth", None),
        ("dram.burst", 1),
    ],
)
def test_defaults(path: str, default: object) -> None:
    data = without(path)
    data["precision"]["ofmap"] = data["precision"].get("ifmap", "int8")
    found: Any = Hardware.model_validate(data)
    for key in path.split("."):
        found = found[key] if isinstance(found, dict) else getattr(found, key)
    assert found == default


ROWS: dict[str, Any] = {
    "ifmap_spad": 12,
    "filter_spad": 224,
    "psum_spad": 24,
    "ifmap_network": "2 B/cycle",
    "filter_network": "8 B/cycle",
    "psum_in_network": "6 B/cycle",
    "psum_out_network": "4 GB/s",
    "pipeline_stages": 3,
    "objective": "energy",
}


def with_rows(**changes: object) -> dict[str, Any]:
    """`FULL`, row stationary; a change to None leaves a key out."""
    spec = {key: value for key, value in (ROWS | changes).items() if value is not None}
    data = changed("array.row_stationary", spec)
    data["array"]["dataflow"] = "rs"
    return data


def test_every_key_of_the_row_stationary_pes_is_read() -> None:
    data = with_rows()
    data["buffers"]["ofmap_sram"]["bank"] = "4 KiB"
    hardware = Hardware.model_validate(data)
    spec = hardware.array.row_stationary
    assert spec is not None
    assert (spec.ifmap_spad, spec.filter_spad, spec.psum_spad) == (12, 224, 24)
    assert (spec.pipeline_stages, spec.objective) == (3, "energy")
    rates = [spec.ifmap_network, spec.filter_network, spec.psum_in_network, spec.psum_out_network]
    assert [rate.bytes_per_cycle(hardware.clock) for rate in rates] == [2, 8, 6, 4]
    assert [buffer.bank for buffer in hardware.buffers.values()] == [1, 1, 4096]


@pytest.mark.parametrize("key", ROWS)
def test_which_keys_the_pes_need(key: str) -> None:
    defaults = {"pipeline_stages": 1, "objective": "time"}
    data = with_rows(**{key: None})
    if key not in defaults:
        with pytest.raises(ValidationError, match=f"{key}\n  Field required"):
            Hardware.model_validate(data)
        return
    assert getattr(Hardware.model_validate(data).array.row_stationary, key) == defaults[key]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ifmap_spad", 0, "greater than 0"),
        ("pipeline_stages", 65, "less than or equal to 64"),
        ("psum_out_network", "8", "number with a unit"),
        ("objective", "area", "'time', 'energy' or 'traffic'"),
        ("spads", 3, "Extra inputs"),
    ],
)
def test_what_the_pes_refuse(key: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Hardware.model_validate(with_rows(**{key: value}))


def test_spads_without_rs_are_kept_for_comparisons() -> None:
    data = with_rows()
    data["array"]["dataflow"] = "os"
    assert Hardware.model_validate(data).array.row_stationary is not None


def test_no_latency_is_none() -> None:
    assert Hardware.model_validate(without("dram.latency")).dram_latency_cycles == 0
    assert Hardware.model_validate(without("precision")).precision.bytes_of("psum") == 4


@pytest.mark.parametrize(
    "path",
    [
        *("name", "clock", "array", "buffers", "vector_unit", "dram", "dram.bandwidth"),
        *("array.rows", "array.cols", "array.dataflow", "vector_unit.lanes"),
        *("buffers.filter_sram.size", "buffers.filter_sram.holds"),
    ],
)
def test_required_keys(path: str) -> None:
    with pytest.raises(ValidationError):
        Hardware.model_validate(without(path))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("array.rows", 0, "greater than 0"),
        ("array.rows", 2.0, "valid integer"),
        ("array.rows", True, "valid integer"),
        ("array.rows", "32", "valid integer"),
        ("array.dataflow", "xs", "'os', 'ws', 'is' or 'rs'"),
        ("array.dataflow", "rs", r"add array.row_stationary \(as configs/eyeriss.yaml does\)"),
        ("array.count", -1, "greater than 0"),
        ("precision.psum", "int7", "unknown psum format"),
        ("precision.psum", "int49", "unknown psum format"),
        ("precision.psum", "uint32", "unknown psum format"),
        ("precision.filter", "int12", "unknown number format"),
        ("precision.psum", "float32", "do not mix"),
        ("precision.ofmap", "int8", "one format"),
        ("buffers.ofmap_sram.bank", "0 B", "positive"),
        ("buffers.ofmap_sram.bank", 4096, "number with a unit"),
        ("buffers.ofmap_sram.holds", ["ofmap"], "no buffer holds psum"),
        ("buffers.filter_sram.holds", ["filter", "ifmap"], "more than one buffer holds ifmap"),
        ("buffers.filter_sram.holds", ["filter", "filter"], "more than one buffer holds filter"),
        ("buffers.filter_sram.holds", [], "at least 1 item"),
        ("buffers.filter_sram.holds", ["weights"], "'ifmap', 'filter', 'psum' or 'ofmap'"),
        ("clock", "1 GB", "unknown unit"),
        ("dram.latency", "-5 ns", "number with a unit"),
        ("dram.burst", "0 B", "positive"),
        ("array.shape", 3, "Extra inputs"),
        ("nonsense", 3, "Extra inputs"),
        ("name", "", "at least 1 character"),
    ],
)
def test_what_is_refused(path: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Hardware.model_validate(changed(path, value))


def test_rates_stay_exact() -> None:
    data = changed("dram.bandwidth", "34 GB/s")
    data["clock"] = "700 MHz"
    assert Hardware.model_validate(data).dram_bytes_per_cycle == Fraction(340, 7)


def test_every_key_says_what_it_means() -> None:
    def keys(model: type[BaseModel]) -> None:
        for name, info in model.model_fields.items():
            assert info.description, name
            assert info.description.endswith("."), name
            inner = info.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                keys(inner)

    for model in (Hardware, Buffer, RowStationarySpec):
        keys(model)


@pytest.mark.parametrize(
    ("text", "bits"), [("int8", 8), ("uint8", 8), ("int24", 24), ("bfloat16", 16), ("float32", 32)]
)
def test_format_bits(text: str, bits: int) -> None:
    assert format_bits(text) == bits


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="unknown number format 'int'"):
        format_bits("int")


@pytest.mark.parametrize(
    ("written", "meant"), [("on", "on"), ("off", "off"), (True, "on"), (False, "off"), (None, "on")]
)
def test_residency_as_yaml_reads_it(written: object, meant: str) -> None:
    """YAML 1.1 reads a bare on or off as a boolean; left out it is on."""
    assert Hardware.model_validate(changed("residency", written)).residency == meant


@pytest.mark.parametrize("written", ["maybe", 1, 0])
def test_residency_is_on_or_off(written: object) -> None:
    with pytest.raises(ValidationError, match="'on' or 'off'"):
        Hardware.model_validate(changed("residency", written))


def test_no_parts_are_held_against_each_other_but_the_coupled_ones() -> None:
    """Sweeps put valid parts together; a new check between parts has to be named there."""
    checks = Hardware.__pydantic_decorators__
    assert not checks.model_validators
    coupled = {
        field
        for check in checks.field_validators.values()
        for field in check.info.fields
        if len(signature(check.func).parameters) > 1  # it is given the other parts, too
    }
    assert coupled == {"energy"} < set(COUPLED_PARTS)
