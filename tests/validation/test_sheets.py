"""What `validate` prints."""

import math
from dataclasses import replace

import pytest
from references_by_hand import comparison, outcome, reference

from accelsim.report.sheet import rendered
from accelsim.validation.outcome import Outcome, Validation, compared
from accelsim.validation.reference import Comparison
from accelsim.validation.sheets import ROWS_SHOWN, number, signed_percent, validation_sheets


def printed(*outcomes: Outcome, every_row: bool = False, width: int | None = None) -> str:
    return rendered(validation_sheets(Validation(outcomes), every_row), width)


def lines(text: str, start: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.startswith(start)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.000"),
        (0.12345, "0.123"),
        (1, "1.000"),
        (9.7, "9.700"),
        (9.9999, "10.00"),
        (12.3, "12.30"),
        (999.96, "1,000"),
        (999.94, "999.9"),
        (1349.29, "1,349"),
        (15_470_264_320, "15,470,264,320"),
        (-2.5, "-2.500"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("modelled", "text"), [(100.0, "exact"), (100.01, "+0.0"), (95.0, "-5.0"), (math.inf, "+inf")]
)
def test_errors(modelled: float, text: str) -> None:
    assert signed_percent(comparison(modelled)) == text


def test_a_short_reference_row_by_row() -> None:
    text = printed(outcome(comparison(105.0, 0.1, "one"), comparison(100.0, 0.0, "two")))
    assert lines(text, "one") == [["one", "time", "ns", "100.0", "105.0", "+5.0", "10.0"]]
    assert lines(text, "two") == [["two", "time", "ns", "100.0", "100.0", "exact", "exact"]]
    assert "Source: source of x" in text
    assert "Model: why x" in text
    assert lines(text, "x ") == [["x", "2", "1", "2.5", "+5.0", "exact-10.0", "2", "within"]]
    assert "No judged error leaves its band." in text
    assert "OUTSIDE" not in text


LONG = tuple(comparison(100.0 + index / 100, 0.01, f"case{index}") for index in range(50))


def test_a_long_reference_is_summed_up() -> None:
    """Errors 0, 0.01, ..., 0.49 %: mean 0.245 %."""
    assert len(LONG) > ROWS_SHOWN
    text = printed(outcome(*LONG))
    assert lines(text, "time") == [["time", "50", "1", "0.2", "+0.5", "1.0", "case49"]]
    assert not lines(text, "case")


def test_every_row_of_a_long_reference_if_asked() -> None:
    assert len(lines(printed(outcome(*LONG), every_row=True), "case")) == 1 + len(LONG)


def test_what_is_outside_is_called_so() -> None:
    text = printed(outcome(comparison(130.0, 0.1, "bad"), comparison(101.0, 0.1, "good")))
    assert lines(text, "bad")[0][-1] == "OUTSIDE"
    assert lines(text, "good")[0][-1] == "10.0"
    assert lines(text, "x ")[0][-4:] == ["1", "within,", "1", "OUTSIDE"]
    assert "OUTSIDE: x." in text
    worse = (*LONG, comparison(200.0, 0.01, "far"))
    assert lines(printed(outcome(*worse)), "time")[0][-2:] == ["far", "OUTSIDE"]


def test_a_reference_that_cannot_run_hides_no_other() -> None:
    broken = compared(reference("broken", error=OSError("no file")))
    text = printed(broken, outcome(comparison(101.0)))
    assert "NOT COMPARED: OSError: no file" in text
    assert lines(text, "broken ")[0][-2:] == ["NOT", "COMPARED"]
    assert lines(text, "x ")[0][-2:] == ["1", "within"]
    assert "OUTSIDE: broken." in text


def test_what_is_not_judged_is_not_called_fine() -> None:
    """Beyond the aim: by more than any band of the reference."""
    rows = [comparison(modelled, None, "c") for modelled in (104.0, 80.0, 111.0)]
    text = printed(outcome(comparison(103.0, 0.05), comparison(100.0, 0.1), *rows))
    verdict = "2 within, 2 beyond the aim, worst -20.0 %, 1 not judged"
    assert lines(text, "x ")[0][-12:] == verdict.split()


def test_an_aim_of_its_own_counts() -> None:
    """4 % are beyond an aim of 3 %, and within the reference's band of 5."""
    missed = replace(comparison(104.0, None, "c"), aim=0.03)
    text = printed(outcome(comparison(103.0, 0.05), missed, comparison(104.0, None, "d")))
    verdict = "1 within, 1 beyond the aim, worst +4.0 %, 1 not judged"
    assert lines(text, "x ")[0][-12:] == verdict.split()


@pytest.mark.parametrize(("count", "cases"), [(1, "c0"), (3, "c0, c1, c2"), (5, "5 cases")])
def test_a_note_is_told_once(count: int, cases: str) -> None:
    rows = [comparison(150.0, None, f"c{index}", "says so") for index in range(count)]
    text = printed(outcome(comparison(100.0), *rows))
    assert f"time of {cases}: says so" in text
    assert text.count("says so") == 1
    assert lines(text, "c0 ") == [["c0", "time", "ns", "100.0", "150.0", "+50.0", "-"]]


def test_floating_point_rounds() -> None:
    """Percentages computed in another order differ in the last digit; a thousandth does not."""
    rounded = math.nextafter(100.0, 101)
    text = printed(outcome(comparison(rounded, 1e-12, "same"), comparison(100.001, 1e-4, "near")))
    assert lines(text, "same")[0][-2:] == ["exact", "exact"]
    assert lines(text, "near")[0][-2:] == ["+0.0", "0.0"]
    assert lines(text, "x ")[0][2] == "1"


@pytest.mark.parametrize("width", [None, 80])
def test_brackets_are_no_markup(width: int | None) -> None:
    row = Comparison("[b]x[/b]", "time", "", 1.0, 1.0, 0.0)
    assert "[b]x[/b]" in printed(outcome(row), width=width)
