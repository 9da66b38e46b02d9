"""The replayed controller against Ramulator: a row of each kind; all are in README's table."""

from collections.abc import Sequence

import pytest

from accelsim.validation.dram import BAND, Row, replayed, table

ROWS: Sequence[Row] = tuple(table())


def error(row: Row) -> float:
    return replayed(row)[0] / row.fraction - 1


def test_the_whole_table_is_there() -> None:
    assert len(ROWS) == 216
    assert {row.sheet.standard for row in ROWS} == {"DDR3-2133", "DDR4-2400", "HBM2"}


def same(pattern: str, chunk: int, pitch: int) -> list[Row]:
    return [
        r for r in ROWS if (r.pattern, r.chunk, r.pitch, r.repeat) == (pattern, chunk, pitch, 0)
    ]


@pytest.mark.parametrize(
    ("pattern", "chunk", "pitch"),
    [
        ("seq_write", 0, 0),
        ("strided_chunk_read", 64, 65_536),
        ("strided_chunk_read", 1024, 8192),
        ("2stream_rd_rd", 256, 0),
        ("3stream_rd_rd_wr_1:1:1", 64, 0),
        ("3stream_rd_rd_wr_4:4:1", 4096, 0),
        ("tile_NHWC_56w_16px_C16B", 256, 896),
    ],
)
def test_a_row_of_each_kind(pattern: str, chunk: int, pitch: int) -> None:
    rows = same(pattern, chunk, pitch)
    assert len(rows) >= 3
    for row in rows:
        assert abs(error(row)) <= BAND, row
