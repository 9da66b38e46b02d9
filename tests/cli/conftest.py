"""The command line, called in process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from accelsim.cli import app


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Call `accelsim` with arguments."""

    def call(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as left:
            app([str(argument) for argument in arguments], prog_name="accelsim")
        printed = capsys.readouterr()
        return Outcome(int(left.value.code or 0), printed.out, printed.err)

    return call


CONCAT = """
name: "[b]two[/b]"
input: {channels: 4, height: 6, width: 6}
layers:
  "[red]left[/red]": {op: conv, out_channels: 4, kernel: 1}
  right: {op: conv, input: input, out_channels: 4, kernel: 3, padding: 1}
  both: {op: concat, inputs: ["[red]left[/red]", right]}
  flat: {op: flatten}
  out: {op: dense, out_features: 10}
"""


@pytest.fixture
def concat(tmp_path: Path) -> Path:
    """A network with brackets in its names, an in-place concat and a view."""
    path = tmp_path / "two.yaml"
    path.write_text(CONCAT)
    return path
