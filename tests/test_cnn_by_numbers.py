"""docs/cnn_by_numbers.md: its files are written, its commands run, what they print is shown."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from accelsim.cli import app

PAGE = (Path(__file__).parents[1] / "docs" / "cnn_by_numbers.md").read_text()
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = [text for kind, text in FENCED if kind == "yaml"]
SNIPPETS = [text for kind, text in FENCED if kind == "python"]
LONG = ("compare", "run million")


def transcripts() -> Iterator[tuple[str, list[str]]]:
    """Each command, and the lines that it is said to print."""
    for kind, text in FENCED:
        for part in text.split("$ accelsim ")[1:] if not kind else ():
            command, *lines = part.splitlines()
            yield command, [line for line in lines if line.strip()]


SAID = dict(transcripts())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's files are."""
    path = tmp_path_factory.mktemp("page")
    for text in FILES:
        name = text.splitlines()[0].removeprefix("# ")
        (path / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for snippet in SNIPPETS:
            exec(compile(snippet, "docs/cnn_by_numbers.md", "exec"), {})
    return path


def test_the_page_has_all_of_them() -> None:
    assert len(SAID) >= 15
    assert len(FILES) == 7
    assert sum(len(lines) > 1 for lines in SAID.values()) >= 10


@pytest.mark.parametrize(
    "command",
    [pytest.param(each, marks=pytest.mark.slow if each.startswith(LONG) else ()) for each in SAID],
)
def test_commands_print_what_the_page_says(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of `run` the layers and their MACs."""
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output
    printed = [line.rstrip() for line in result.stdout.splitlines()]
    told = [line.rstrip() for line in SAID[command]]
    if command.startswith("run"):
        printed, told = ([" ".join(line.split()[:3]) for line in some] for some in (printed, told))
    assert [line for line in told if line not in printed] == []
