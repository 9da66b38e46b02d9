"""What the README shows works as it stands."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from pages import blocks_of
from typer.testing import CliRunner

from accelsim.cli import app
from accelsim.frontend.builtin import builtin_names
from accelsim.frontend.hardware_file import load_hardware

README = (Path(__file__).parents[1] / "README.md").read_text()
DOCS = {path.name: path.read_text() for path in (Path(__file__).parents[1] / "docs").glob("*.md")}


BLOCKS = blocks_of(README)
COMMANDS = list(
    dict.fromkeys(
        line.partition("#")[0].strip()
        for block in BLOCKS
        for line in block.splitlines()
        if line.startswith("accelsim ") and not line.startswith("accelsim/")
    )
)
LONG = ("run googlenet", "run vgg16", "train", "compare", "explain", "verify googlenet")
TOUR = [
    pytest.param(command, marks=pytest.mark.slow if each.startswith(LONG) else ())
    for command in COMMANDS
    if (each := command.removeprefix("accelsim ")) != "validate"  # see the last test
]


def block(start: str) -> str:
    return next(text for text in BLOCKS if text.strip().startswith(start)).strip()


def test_there_are_commands_to_try() -> None:
    assert len(COMMANDS) >= 9


@pytest.mark.parametrize("command", TOUR)
def test_commands_of_the_tour_run(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each as it stands, but that the dozens of runs that `--why` makes are of a small network."""
    (tmp_path / "reports").mkdir()  # for what they write
    monkeypatch.chdir(tmp_path)
    if "--why" in command:
        command = command.replace("googlenet", "lenet5")
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert result.stdout


@pytest.mark.slow
def test_the_main_job_runs() -> None:
    line = next(line for line in README.splitlines() if "accelsim compare" in line)
    result = CliRunner().invoke(app, shlex.split(line.rpartition("&&")[2])[1:])
    assert result.exit_code == 0
    assert "Fastest for the network" in result.stdout


@pytest.mark.slow
def test_python_example_runs() -> None:
    exec(compile(block("import accelsim\n"), "README.md", "exec"), {})


def test_edge_npu_is_edge_ws_with_pipelined_folds() -> None:
    pipelined = load_hardware("edge_ws", ["array.fold_overlap=pipelined"])
    named = {"name", "description"}
    assert load_hardware("edge_npu").model_dump(exclude=named) == pipelined.model_dump(
        exclude=named
    )


def test_sweep_example_has_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelsim.frontend.sweep_file import load_sweep
    from accelsim.sweep.space import resolve

    path = tmp_path / "small_sweep.yaml"
    text = next(each for each in blocks_of(DOCS["sweeps.md"]) if "name: small_sweep" in each)
    path.write_text(text)
    assert len(resolve(load_sweep(path)).points) == 8


def test_every_link_leads_somewhere() -> None:
    root = Path(__file__).parents[1]
    for name, page in {"../README.md": README, **DOCS}.items():
        for link in re.findall(r"\]\(([^)#:]+)\)", page):
            assert (root / "docs" / name).parent.joinpath(link).exists(), f"{name}: {link}"


def test_it_is_a_page_to_read_in_a_few_minutes() -> None:
    assert README.count("\n") <= 160


def test_every_built_in_is_named() -> None:
    networks = set(re.findall(r"[a-z]\w+", DOCS["networks.md"]))
    assert set(builtin_names("workloads")) <= networks
    assert [name for name in builtin_names("configs") if name not in README] == []
    assert f"{len(builtin_names('workloads'))} built in" in README


def test_every_hardware_file_cites_its_source() -> None:
    folder = Path(__file__).parents[1] / "configs"
    for path in folder.glob("*.yaml"):
        comment = path.read_text().partition("name:")[0]
        assert comment.count("\n") >= 3, path
        assert yaml.safe_load(path.read_text())["description"]


ACCURACY = README.partition("\n## Accuracy\n")[2].partition("\n## ")[0]


@pytest.mark.slow
def test_the_accuracy_table_is_what_validate_prints(tmp_path: Path) -> None:
    """Every indented block of the section stands in the output as it is; the summary is one.

    docs/accuracy.md and its plot are what the command makes.
    """
    shown = [text.strip() for text in BLOCKS if text in _dedented(ACCURACY)]
    result = CliRunner().invoke(app, ["validate", "--report", str(tmp_path / "accuracy.md")])
    assert result.exit_code == 0, result.output
    printed = "\n".join(line.rstrip() for line in result.stdout.splitlines())
    assert any(text.startswith("Summary\n") for text in shown)
    for text in shown:
        assert text in printed, f"README.md, Accuracy: renew this from `accelsim validate`:\n{text}"
    for name in ("accuracy.md", "accuracy.svg"):
        made, shipped = (folder / name for folder in (tmp_path, Path(__file__).parents[1] / "docs"))
        assert made.read_text() == shipped.read_text(), f"renew docs/{name}"


def _dedented(section: str) -> str:
    return "\n".join(line[4:] if line.startswith("    ") else line for line in section.splitlines())
