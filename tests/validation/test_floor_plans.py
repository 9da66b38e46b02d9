"""Areas on floor plans: what is held against which share, and none of it judged."""

import pytest

from accelsim.validation import floor_plans


def test_rows_of_tpu_v1_by_hand() -> None:
    """24 MiB and 4 MiB are so many macros of 9,984 B; two channels of DDR3; shares of 331 mm2."""
    macro = 45478.818e-6 / 9984
    rows = {row.quantity: row for row in floor_plans.tpu_v1()}
    unified, sums = rows["unified buffer area"], rows["accumulators area"]
    assert unified.modelled == pytest.approx((24 << 20) * macro)
    assert sums.modelled == pytest.approx((4 << 20) * macro)
    assert rows["DDR3 ports area"].modelled == pytest.approx(2 * 0.13 * 263 / 3)
    measured = [row.measured for row in rows.values()]
    assert measured == pytest.approx([79.44, 95.99, 19.86, 9.93])


def test_no_area_is_judged_and_each_says_why() -> None:
    for row in (*floor_plans.tpu_v1(), *floor_plans.eyeriss()):
        assert row.band is None
        assert row.note.startswith("not judged: ")
