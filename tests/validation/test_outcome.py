"""The table's arithmetic, and what becomes of a reference that cannot run."""

import json
import math

import pytest
from jsonschema import Draft202012Validator
from references_by_hand import comparison, outcome, reference

from accelsim.report.export import json_text
from accelsim.validation.outcome import Tally, Validation, compared
from accelsim.validation.reference import Comparison


def test_tally_by_hand() -> None:
    """Errors 0, +5 %, -8 % are judged; +90 % is not."""
    rows = (
        comparison(100.0, 0.0, "exact"),
        comparison(105.0, 0.1, "over"),
        comparison(92.0, 0.05, "under"),
        comparison(190.0, None, "shown"),
    )
    tally = Tally(rows)
    assert [each.case for each in tally.judged] == ["exact", "over", "under"]
    assert [each.case for each in tally.outside] == ["under"]
    assert tally.exact == 1
    assert tally.mean_absolute_error == pytest.approx(0.13 / 3)
    assert tally.worst is rows[2]
    assert tally.bands == (0.0, 0.05, 0.1)


def test_tally_of_nothing_judged() -> None:
    tally = Tally((comparison(190.0, None),))
    assert (tally.worst, tally.mean_absolute_error, tally.bands) == (None, None, ())


@pytest.mark.parametrize(
    ("modelled", "passes"), [(110.0, True), (90.0, True), (110.001, False), (89.999, False)]
)
def test_the_band_is_a_tight_gate(modelled: float, passes: bool) -> None:
    assert outcome(comparison(modelled, 0.1)).passed is passes


@pytest.mark.parametrize(("modelled", "passes"), [(100.0, True), (math.nextafter(100, 101), False)])
def test_a_band_of_zero_means_equal(modelled: float, passes: bool) -> None:
    assert outcome(comparison(modelled, 0.0)).passed is passes


def test_zero_measured() -> None:
    """Nothing measured and nothing modelled is no error; something modelled is infinitely much."""
    nothing = Comparison("a", "stalls", "cycles", 0.0, 0.0, 0.5)
    something = Comparison("a", "stalls", "cycles", 0.0, 3.0, 0.5)
    assert outcome(nothing).passed
    assert not outcome(something).passed
    assert Tally((nothing, something)).mean_absolute_error == math.inf


def test_what_is_no_number_is_outside_and_the_worst() -> None:
    row = comparison(math.nan, 0.5, "nan")
    tally = Tally((comparison(140.0, 0.5), row, comparison(60.0, 0.5)))
    assert tally.outside == (row,)
    assert tally.worst is row


def test_a_reference_that_raises_does_not_pass() -> None:
    """Not even with rows that were fine before."""
    result = compared(reference("x", comparison(100.0), error=OSError("no file")))
    assert (result.comparisons, result.failure) == ((), "OSError: no file")
    assert not result.passed


@pytest.mark.parametrize("rows", [(), (comparison(100.0, None),)])
def test_a_reference_that_judges_nothing_does_not_pass(rows: tuple[Comparison, ...]) -> None:
    result = outcome(*rows)
    assert not result.passed
    assert result.failure == "it judges no number"
    assert result.comparisons == rows


def test_quantities_keep_their_order() -> None:
    rows = [Comparison("a", name, "", 1.0, 1.0, 0.0) for name in ("b", "a", "b")]
    groups = outcome(*rows).by_quantity
    assert [(name, len(tally.comparisons)) for name, tally in groups.items()] == [
        ("b", 2),
        ("a", 1),
    ]


NUMBER, TEXT = {"type": "number"}, {"type": "string"}
COUNT, TRUTH = {"type": "integer", "minimum": 0}, {"type": "boolean"}
MAYBE = {"type": ["number", "null"]}


def record(**properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


ROW = record(
    **dict.fromkeys(("case", "quantity", "unit", "note"), TEXT),
    **dict.fromkeys(("measured", "modelled", "half_digit"), NUMBER),
    **dict.fromkeys(("error", "band", "aim"), MAYBE),
    passed=TRUTH,
)
VALIDATION_SCHEMA = record(
    schema={"const": 1},
    passed=TRUTH,
    references={
        "type": "array",
        "items": record(
            **dict.fromkeys(("name", "title", "source", "assumption"), TEXT),
            **dict.fromkeys(("rows", "judged", "exact", "outside"), COUNT),
            passed=TRUTH,
            failure={"type": ["string", "null"]},
            mean_absolute_error=MAYBE,
            worst={"anyOf": [ROW, {"type": "null"}]},
            comparisons={"type": "array", "items": ROW},
        ),
    },
)


def test_the_json_keeps_its_contract() -> None:
    zero = Comparison("z", "stalls", "", 0.0, 3.0, 0.5)
    outcomes = (
        outcome(comparison(105.0), comparison(120.0, None, note="why"), name="good"),
        outcome(zero, name="infinite"),
        compared(reference("broken", error=ValueError("x"))),
    )
    data = json.loads(json_text(Validation(outcomes).as_dict()))
    Draft202012Validator(VALIDATION_SCHEMA).validate(data)
    good, infinite, broken = data["references"]
    assert [data["passed"], good["passed"], infinite["passed"], broken["passed"]] == [
        *(False, True, False, False)
    ]
    assert good["worst"] == good["comparisons"][0]
    assert good["comparisons"][0]["error"] == pytest.approx(0.05)
    assert (good["comparisons"][1]["band"], good["comparisons"][1]["note"]) == (None, "why")
    assert infinite["comparisons"][0]["error"] is None
    assert broken["failure"] == "ValueError: x"


def test_an_outcome_by_name() -> None:
    validation = Validation((outcome(name="a"), outcome(name="b")))
    assert validation.outcome("b").reference.name == "b"
    with pytest.raises(KeyError):
        validation.outcome("c")


def test_a_printed_number_stands_for_all_that_print_so() -> None:
    """18.5 is anything from 18.45 to 18.55; beyond that the error counts from the nearest."""
    printed = [
        Comparison("a", "buffer", "MB", 18.5, said, 0, half_digit=0.05)
        for said in (18.45, 18.55, 18.4, 18.7)
    ]
    assert [each.passed for each in printed] == [True, True, False, False]
    assert printed[2].error == pytest.approx(-0.05 / 18.5)
    assert printed[3].error == pytest.approx(0.15 / 18.5)
