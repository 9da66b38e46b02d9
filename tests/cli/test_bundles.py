"""Records of options: spread over the command line, gathered again for the command."""

from dataclasses import dataclass, fields
from inspect import signature
from typing import Annotated

import typer
from typer.testing import CliRunner

from accelsim.cli import bundles
from accelsim.cli.bundles import bundled


@dataclass(frozen=True, slots=True)
class Pair:
    """Two options, one of which has to be given."""

    left: Annotated[int, typer.Option("--left")]
    right: Annotated[int, typer.Option("--right")] = 2


def command(name: str, pair: Pair, last: Annotated[bool, typer.Option("--last")] = False) -> None:
    typer.echo(f"{name} {pair} {last}")


def said(*words: str) -> str:
    app = typer.Typer()
    app.command()(bundled(command))
    return CliRunner().invoke(app, words).output


def test_fields_are_options_in_the_place_of_their_record() -> None:
    assert list(signature(bundled(command)).parameters) == ["name", "left", "right", "last"]
    assert said("x", "--left", "7") == "x Pair(left=7, right=2) False\n"
    assert said("x", "--left", "7", "--right", "8", "--last") == "x Pair(left=7, right=8) True\n"
    assert "Missing option '--left'" in said("x")


def test_no_two_records_of_the_command_line_share_an_option() -> None:
    records = (bundles.Machine, bundles.Reading, bundles.Work, bundles.Showing, bundles.Files)
    names = [each.name for record in records for each in fields(record)]
    assert len(names) == len(set(names))
