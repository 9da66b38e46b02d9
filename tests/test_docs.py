"""The pages of docs/ have every key there is, and what they show is read and run."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from machines import chain, conv, dense, max_pool
from pages import blocks_of
from pydantic import BaseModel
from typer.testing import CliRunner

import accelsim
from accelsim.cli import app
from accelsim.facade import simulate, train
from accelsim.frontend import load_network
from accelsim.frontend.hardware_file import load_hardware
from accelsim.frontend.key_meanings import MEANINGS
from accelsim.frontend.network_file import BlockFile, LayerFile, NetworkFile, layer_schema
from accelsim.hardware import Hardware
from accelsim.network.ops import LAYER_TYPES, Relu
from accelsim.report.columns import GROUPS, QUANTITIES
from accelsim.report.export import csv_text
from accelsim.sweep.quantities import quantity_names

DOCS = Path(__file__).parents[1] / "docs"
NOT_GIVEN = {"none", "any", "unlimited", "register_file", "network", "mac"}
"""What is taken in place of None, in words."""


def page(name: str) -> str:
    return (DOCS / name).read_text()


def named(text: str) -> set[str]:
    """What stands between backquotes."""
    return {word for code in re.findall(r"`([^`]+)`", text) for word in re.findall(r"[\w*]+", code)}


def rows(text: str) -> dict[str, set[str]]:
    """What the rows of the tables name, by each name in their first cell."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            first, *rest = re.split(r"(?<!\\)\|", line)[1:-1]
            for name in named(first):
                found.setdefault(name, set()).update(named(" ".join(rest)))
    return found


@pytest.mark.parametrize("op", LAYER_TYPES)
def test_every_key_of_every_layer_type_has_its_row(op: str) -> None:
    """In networks.md or layers.md; what common keys mean is told before the tables."""
    known = rows(page("networks.md"))
    for name, keys in rows(page("layers.md")).items():
        known.setdefault(name, set()).update(keys)
    own = set(layer_schema(LAYER_TYPES[op])["properties"]) - set(LayerFile.model_fields)
    assert op in known
    assert own <= known[op]


def test_every_key_of_a_network_file_is_told() -> None:
    told = rows(page("networks.md"))
    for record in (NetworkFile, LayerFile):
        assert set(record.model_fields) <= set(told)
    assert set(BlockFile.model_fields) <= named(page("networks.md"))


def test_every_key_of_a_layer_has_a_meaning_in_the_schema() -> None:
    used = set()
    for name, op in LAYER_TYPES.items():
        for key, described in layer_schema(op)["properties"].items():
            assert described["description"], f"{name}: {key}"
            used.add(f"{name}.{key}" if f"{name}.{key}" in MEANINGS else key)
    assert set(MEANINGS) <= used


def models(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A record and all that its fields hold."""
    yield kind
    for field in kind.model_fields.values():
        held = [field.annotation]
        while held:
            each = held.pop()
            held += get_args(each)
            if isinstance(each, type) and issubclass(each, BaseModel):
                yield from models(each)


def test_every_key_of_a_hardware_file_has_its_row() -> None:
    told = rows(page("hardware.md"))
    sheet = (
        "DramTiming",
        "DramCurrents",
        "Supply",
        "DramEnergies",
    )  # `accelsim schema dram` has those
    access = {"bits", "energy", "integer", "float"}
    for model in models(Hardware):
        if model.__name__ not in sheet:
            keys = set(model.model_fields) - access
            assert keys <= set(told) | named(page("hardware.md")), model.__name__
            if model.__name__ in ("Hardware", "Array", "Buffer", "Precision", "DramChannel"):
                assert keys <= set(told), model.__name__


@pytest.mark.slow
@pytest.mark.parametrize("hardware", ["edge_ws", "edge_npu"])
def test_the_cycles_of_serial_and_pipelined_folds_are_those_of_runs(hardware: str) -> None:
    (compared,) = accelsim.compare("vgg16", hardware, dataflows=["os", "ws", "is"])
    cycles = " | ".join(f"{run.cycles:,}" for run in compared.runs)
    assert f"| {hardware} | {cycles} |" in page("hardware.md")


def test_the_defaults_in_the_tables_are_those_of_the_schema() -> None:
    """The third cell of hardware.md: whether a key is needed, and else what is taken."""
    for line in page("hardware.md").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not line.startswith("| `") or len(cells) != 4:
            continue
        for key in re.findall(r"`([\w.]+)`", cells[0]):
            name = key.rpartition(".")[2]
            fields = [
                model.model_fields[name]
                for model in models(Hardware)
                if name in model.model_fields and model.__name__ not in ("DramTiming", "Parts")
            ]
            needed = [field.is_required() for field in fields]
            if cells[2] == "needed":
                assert True in needed, key
            elif cells[2].isalnum() and cells[2] not in NOT_GIVEN:
                defaults = {str(field.default).removesuffix(".0") for field in fields}
                assert cells[2] in defaults, key


def networks_shown() -> list[str]:
    return [text.strip() for text in blocks_of(page("networks.md")) if "name: " in text]


@pytest.mark.parametrize("text", networks_shown(), ids=lambda text: text.split()[1])
def test_networks_that_are_shown_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (snippet,) = [each for each in blocks_of(page("networks.md")) if "np.savez" in each]
    exec(compile(snippet.partition("\n\n")[0], "networks.md", "exec"), {"np": np})
    path = tmp_path / "shown.yaml"
    path.write_text(text)
    assert simulate(path, "edge_ws").cycles
    assert accelsim.verify(path, "edge_ws").passed
    assert len(load_network(path).layers) > 0


def test_the_network_that_is_shown_first(tmp_path: Path) -> None:
    path = tmp_path / "first.yaml"
    path.write_text(networks_shown()[0])
    first = load_network(path)
    assert first.by_name["fire/3x3"].output_shape == (32, 16, 16)
    assert first.outputs == ("prob",)


def test_the_hardware_that_is_shown_is_edge_npu(tmp_path: Path) -> None:
    (text,) = [block for block in blocks_of(page("hardware.md")) if "name: my_npu" in block]
    path = tmp_path / "my.yaml"
    path.write_text(text)
    named = {"name", "description"}
    shipped = load_hardware("edge_npu").model_dump(exclude=named)
    assert load_hardware(path).model_dump(exclude=named) == shipped


def keys_of(value: Any, apart: tuple[str, ...]) -> Iterator[str]:
    """All keys of JSON, without those within `apart`, whose names are others'."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in apart:
                yield from keys_of(inner, apart)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, apart)


def runs() -> Iterator[accelsim.RunResult]:
    small = chain((3, 8, 8), conv(4, 3), Relu(), max_pool(2), dense(5))
    energy = ["energy=horowitz_45nm", "dram.timing=DDR4-2400"]
    yield simulate(small, "edge_ws", "best", set=[*energy, "fused=[activation, add, pool]"])
    yield simulate(small, "edge_ws", batch=4, set=["batch_split=2", *energy])
    yield simulate(small, "eyeriss")
    yield train(small, "edge_ws", batch=2, loss="squared_error")


@pytest.mark.slow
def test_every_key_of_the_json_and_every_column_is_told() -> None:
    told = page("results.md")
    words = named(told)
    apart = ("hardware", "buffers", "mapping", "tiling", "phases", "asked")
    derived = {"technology", "pes"}  # of area_mm2 and leakage_watts
    for run in runs():
        data = json.loads(json.dumps(run.as_dict()))
        assert set(keys_of(data, apart)) - words - derived == set()
        header = csv_text([run]).splitlines()[0].split(",")
        assert [name for name in header if not is_told(name, words)] == []


def is_told(column: str, words: set[str]) -> bool:
    """Whether a column stands there, or is made of a key as the table of columns says."""
    if column in words:
        return True
    for prefix, suffix in (
        *(("dram_", ""), ("resident_", ""), ("inside_", ""), ("energy_", "_pj")),
        *(("sram_", "_words"), ("bucket_", "_cycles")),
    ):
        if column.startswith(prefix) and column.endswith(suffix):
            inner = column.removeprefix(prefix).removesuffix(suffix)
            if inner in words or f"{inner}s" in words or inner.startswith("buffer_"):
                return True
            if inner.removeprefix("dram_") in words:
                return True
    return False


def test_every_column_that_can_be_asked_for_is_told() -> None:
    assert {*QUANTITIES, *GROUPS} <= named(page("results.md"))


def test_every_objective_is_told() -> None:
    assert set(quantity_names()) <= named(page("sweeps.md"))


RECIPES = {
    text.partition("\n")[0]: text
    for text in page("cookbook.md").split("\n## ")[1:]
    if "    " in text
}


def files_of(text: str) -> dict[str, str]:
    """What a page shows of files, by the names under which it goes on to use them."""
    shown = [block.strip() for block in blocks_of(text)]
    files = [block for block in shown if block.startswith(("name:", "Layer,"))]
    names = re.findall(r"^is (\S+\.(?:yaml|csv)):$", text, re.MULTILINE)
    return dict(zip(names, files, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_works(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands, one after another in a folder with the files that it shows."""
    monkeypatch.chdir(tmp_path)
    text = RECIPES[recipe]
    for name, shown in files_of(text).items():
        (tmp_path / name).write_text(shown)
    lines = [line for block in blocks_of(text) for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("accelsim ")]
    assert commands
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}\n{result.output}"


def test_there_are_recipes_for_what_people_search_for() -> None:
    assert len(RECIPES) >= 15
    assert all(recipe.endswith("?") for recipe in RECIPES)


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((DOCS.parent / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version"} <= set(cited)
    assert cited["version"] == accelsim.__version__
