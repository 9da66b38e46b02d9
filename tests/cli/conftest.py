"""The command line, called in process."""

from collections.abc import Callable
from dataclasses import dataclass

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
