"""SCALE-Sim: every count of every row, by the documented relation."""

from collections import Counter

from accelsim.validation.scalesim import REFERENCE


def test_every_row_is_met() -> None:
    comparisons = list(REFERENCE.compare())
    assert Counter(each.quantity for each in comparisons) == dict.fromkeys(
        (
            *("cycles", "reported total", "mapping efficiency"),
            *("ifmap reads", "filter reads", "ofmap writes"),
        ),
        351,
    )
    assert [each for each in comparisons if not each.passed] == []
    assert {each.band for each in comparisons if each.unit != "%"} == {0.0}


def test_only_os_is_corrected() -> None:
    corrected = {
        each.case.split()[-1]
        for each in REFERENCE.compare()
        if each.quantity == "cycles" and each.note
    }
    assert corrected == {"os"}
