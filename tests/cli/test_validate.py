"""`accelsim validate`: what it prints and writes, and its exit status."""

import csv
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from references_by_hand import comparison, reference

from accelsim.validation import catalog
from accelsim.validation.reference import Reference


@pytest.fixture
def references(monkeypatch: pytest.MonkeyPatch) -> list[Reference]:
    """The catalogue, to be filled by a test."""
    held = [
        reference("good", comparison(101.0, 0.05, "near"), comparison(150.0, None, "shown")),
        reference("long", *(comparison(100.0, 0.0, f"row{index}") for index in range(40))),
    ]
    module = SimpleNamespace(REFERENCES=held)
    monkeypatch.setitem(sys.modules, "accelsim.validation.held", module)  # type: ignore[arg-type]
    monkeypatch.setattr(catalog, "MODULES", ("held",))
    return held


def test_all_within_their_bands(cli, references: list[Reference]) -> None:
    outcome = cli("validate")
    assert (outcome.status, outcome.stderr) == (0, "")
    assert "No judged error leaves its band." in outcome.stdout
    assert "row7" not in outcome.stdout
    assert cli("validate").stdout == outcome.stdout


def test_a_wrong_model_exits_1(cli, references: list[Reference]) -> None:
    references.append(reference("wrong", comparison(106.0, 0.05)))
    outcome = cli("validate")
    assert (outcome.status, outcome.stderr) == (1, "")
    assert "OUTSIDE: wrong." in outcome.stdout
    assert cli("validate", "--only", "good").status == 0
    assert cli("validate", "--json", "-").status == 1


def test_a_reference_that_raises_exits_1_and_the_others_are_shown(
    cli, references: list[Reference]
) -> None:
    references.insert(0, reference("broken", error=OSError("no file")))
    outcome = cli("validate")
    assert outcome.status == 1
    assert "NOT COMPARED: OSError: no file" in outcome.stdout
    assert "title of good" in outcome.stdout


def test_only_shows_every_row(cli, references: list[Reference]) -> None:
    outcome = cli("validate", "--only", "long")
    assert outcome.status == 0
    assert "row7" in outcome.stdout
    assert "title of good" not in outcome.stdout


def test_unknown_names_and_bad_paths_are_told_at_once(cli, references: list[Reference]) -> None:
    outcome = cli("validate", "--only", "goof", "--json", "none/x")
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.splitlines() == [
        "error: --json none/x: there is no directory none",
        "error: --only: unknown reference 'goof'; did you mean 'good'? there are good, long",
    ]


def test_json_has_every_row(cli, references: list[Reference], tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    assert cli("validate", "--json", path).stdout == ""
    data = json.loads(path.read_text())
    assert data == json.loads(cli("validate", "--json", "-").stdout)
    assert [len(each["comparisons"]) for each in data["references"]] == [2, 40]


def test_csv_has_every_row(cli, references: list[Reference]) -> None:
    table = list(csv.DictReader(io.StringIO(cli("validate", "--csv", "-").stdout)))
    assert len(table) == 42
    assert table[0] == {
        "reference": "good",
        "case": "near",
        "quantity": "time",
        "unit": "ns",
        "measured": "100.0",
        "modelled": "101.0",
        "band": "0.05",
        "error": "0.01",
        "passed": "True",
        "half_digit": "0.0",
        "aim": "",
        "note": "",
    }
    assert (table[1]["band"], table[1]["passed"]) == ("", "True")
