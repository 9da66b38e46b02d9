"""The order of the parts: each imports only earlier ones, optional libraries where used."""

import re
import sys
import tomllib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "accelsim"
ORDER = (
    *(
        "text",
        "errors",
        "arguments",
        "files",
        "stops",
        "units",
        "jit",
        "dram",
        "technology",
        "written",
        "number_formats",
        "hardware",
        "network",
        "frontend",
        "lowering",
        "engine",
        "results",
    ),
    *(
        "numerics",
        "given",
        "programs",
        "facade",
        "computing",
        "learning",
        "why",
        "explanation",
        "sweep",
        "report",
        "validation",
        "cli",
    ),
)
FILES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem[0] != "_"
)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


IMPORT = re.compile(
    r"^( *)(?:from (\S+) import|import (\w[\w.]*(?:, *\w[\w.]*)*)(?: as \w+)?(?: *#.*)?$)"
)
NOT_ON_LOAD = ("def ", "async ", "class ", "@", "if TYPE_CHECKING")
"""What is indented below one of these waits, or is for type checkers only."""


@cache
def imports(path: Path) -> tuple[set[str], set[str]]:
    """Modules that a file imports anywhere, and those that it imports when it is imported itself.

    Read line by line: to parse all files takes seconds.
    """
    anywhere, on_load, within = set[str](), set[str](), ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in " )":
            within = line
        if found := IMPORT.match(line):
            names = {found[2]} if found[2] else {*found[3].replace(" ", "").split(",")}
            assert not any(name.startswith(".") for name in names), "imports are absolute"
            anywhere |= names
            if not found[1] or not within.startswith(NOT_ON_LOAD):
                on_load |= names
    return anywhere, on_load


def all_imports(path: Path) -> set[str]:
    """Modules that a file imports anywhere, those only for type checkers too."""
    return imports(path)[0]


def imports_on_load(path: Path) -> set[str]:
    """Modules that a file imports when it is imported itself."""
    return imports(path)[1]


def relative(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_part_has_its_place() -> None:
    assert {part_of(path) for path in FILES} <= set(ORDER)


def test_imports_go_to_earlier_parts() -> None:
    for path in FILES:
        allowed = ORDER[: ORDER.index(part_of(path)) + 1]
        used = {name.split(".")[1] for name in all_imports(path) if name.startswith("accelsim.")}
        assert used <= set(allowed), relative(path)


def parts_used(part: str) -> set[str]:
    paths = [path for path in FILES if part_of(path) == part]
    assert paths
    names = {name for path in paths for name in all_imports(path)}
    return {name.split(".")[1] for name in names if name.startswith("accelsim.")}


def test_network_and_hardware_do_not_know_each_other() -> None:
    assert "hardware" not in parts_used("network")
    assert parts_used("hardware") == {
        *("dram", "hardware", "number_formats"),
        "units",
        "technology",
    }
    assert parts_used("technology") == {"units"}
    assert parts_used("dram") == {"dram", "jit"}


def test_the_reference_knows_no_schedule() -> None:
    """Directly or through its own package: only networks and numbers."""
    reached, frontier = set(), ["accelsim.numerics.reference"]
    while frontier:
        name = frontier.pop()
        path = PACKAGE.joinpath(*name.split(".")[1:]).with_suffix(".py")
        if name in reached or not path.exists():
            continue
        reached.add(name)
        frontier += [each for each in all_imports(path) if each.startswith("accelsim.")]
    assert {name.split(".")[1] for name in reached} <= {
        *("text", "errors", "units", "network", "numerics")
    }
    assert not any(name.startswith("accelsim.numerics.tiled") for name in reached)


def test_networks_are_prepared_for_inference_at_one_door() -> None:
    """`given.prepared`: what it returns is passed on, and nothing behind it asks again."""
    callers = [path for path in FILES if "prepare_for_inference(" in path.read_text("utf-8")]
    assert [relative(path) for path in callers] == ["given.py", "network/passes.py"]


def test_only_the_engine_imports_simpy_and_it_has_no_arrays() -> None:
    """But for the one in which compiled code has all its numbers."""
    for path in FILES:
        tops = {name.split(".")[0] for name in all_imports(path)}
        assert ("simpy" in tops) <= (part_of(path) == "engine"), relative(path)
        is_compiled = path.parent.name == "compiled"
        assert is_compiled or part_of(path) != "engine" or "numpy" not in tops, relative(path)


def test_optional_libraries_wait_until_they_are_used() -> None:
    heavy = {"onnx", "dask", "distributed", "optuna", "matplotlib", "plotly", "pandas"}
    heavy |= {"scipy", "numba"}
    for path in [*FILES, PACKAGE / "__init__.py"]:
        tops = {name.split(".")[0] for name in imports_on_load(path)}
        assert not tops & heavy, relative(path)


def test_help_loads_no_arrays() -> None:
    """`accelsim --help` imports these; what is slow to import waits for a command."""
    slow = {"numpy", "simpy", "pydantic", "accelsim.facade", "accelsim.programs", "accelsim.engine"}
    for path in [PACKAGE / "__init__.py", *(path for path in FILES if part_of(path) == "cli")]:
        assert not imports_on_load(path) & slow, relative(path)


def test_what_is_imported_on_load_is_a_dependency() -> None:
    """Nothing optional is needed; what pyproject.toml requires is."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    required = {re.split(r"[<>=~!\[ ]", each)[0] for each in project["project"]["dependencies"]}
    known = {"yaml" if name == "pyyaml" else name for name in required} | {"pydantic_core"}
    used = {name.split(".")[0] for path in FILES for name in imports_on_load(path)}
    assert used - set(sys.stdlib_module_names) - {"accelsim"} <= known
