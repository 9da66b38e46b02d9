"""JSON and CSV text, and where they go."""

import csv
import io
import json
import math
from pathlib import Path

import pytest
from results_by_hand import LAYER, VIEW, run

from accelsim.errors import InputError
from accelsim.files import write_file
from accelsim.report.export import Destinations, csv_text, json_text, rows_text


def test_csv_columns_and_values() -> None:
    gemm, view = csv.DictReader(io.StringIO(csv_text([run("os", LAYER, VIEW)])))
    assert gemm["dataflow"] == "os"
    assert (gemm["m"], gemm["n"], gemm["k"]) == ("10", "20", "30")
    assert (gemm["cycles"], gemm["end_cycle"]) == ("100", "100")
    assert (gemm["dram_read_bytes"], gemm["dram_ofmap_write_bytes"]) == ("300", "300")
    assert (gemm["sram_ifmap_read_words"], gemm["sram_ofmap_write_words"]) == ("1", "5")
    assert (gemm["bucket_useful_cycles"], gemm["output_shape"]) == ("60", "20x2x5")
    assert (view["m"], view["cycles"]) == ("", "0")


def test_csv_of_records_with_other_keys() -> None:
    text = rows_text([{"a": 1, "b": None}, {"a": 2, "c": "x,y"}])
    assert text == 'a,b,c\n1,,\n2,,"x,y"\n'


def test_json_knows_no_infinity() -> None:
    data = json.loads(json_text({"a": [math.inf, math.nan, 1.5], "b": (1, {"c": -math.inf})}))
    assert data == {"a": [None, None, 1.5], "b": [1, {"c": None}]}


def test_destinations() -> None:
    assert Destinations("-").on_standard_output
    assert Destinations(csv="-").on_standard_output
    assert not Destinations("x.json", "y.csv").on_standard_output
    assert not Destinations("-", None).problems
    assert Destinations("-", "-").problems
    assert not Destinations().problems


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: "):
        write_file(str(tmp_path), "text")
