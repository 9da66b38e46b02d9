"""Every table of every command, on terminals of 40 and 120 columns; slowly, of 80 and 200, too.

A line longer than the terminal would go on under the next row, so there is none; and what was asked
for is on all of them. Each command runs once, its sheets are rendered at all widths.
"""

import json
import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from drawing import is_plain
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress

import accelsim.report.sheet as sheets
from accelsim.cli import app
from accelsim.report.progress import _bar
from accelsim.report.sheet import Sheet
from accelsim.report.sweep_progress import _bar_on

WIDTHS = (40, 120) if is_plain() else (40, 80, 120, 200)
LONG = "a_block_of_somebody_who_likes_to_say/what_all_this_is_about/the_first_convolution"
WIDE = "\u5377\u7a4d\u5c64" * 12
NETWORK = f"""
name: {"net" * 30}
input: {{channels: 3, height: 6, width: 6}}
layers:
  {json.dumps(LONG)}: {{op: conv, out_channels: 4, kernel: 3, padding: 1, activation: relu}}
  {json.dumps(LONG + "_behind_it")}: {{op: max_pool, kernel: 2}}
  {json.dumps(WIDE)}: {{op: conv, out_channels: 4, kernel: 3, groups: 2}}
  "\\e[2Jx": {{op: softmax}}
  out: {{op: dense, out_features: 10}}
"""
CHIP = f"""
name: {"chip" * 30}
clock: 1 GHz
array: {{rows: 4, cols: 4, dataflow: ws}}
buffers: {{{LONG.replace("/", "_")}: {{holds: [ifmap, filter, psum, ofmap], size: 4 KiB}}}}
vector_unit: {{lanes: 4}}
dram: {{bandwidth: 16 GB/s}}
energy: horowitz_45nm
"""
SWEEP = """
name: a_sweep
networks: [net.yaml]
base: chip.yaml
matrix:
  array.rows: [8, 16]
  dram.bandwidth: [1 GB/s, 16 GB/s]
objectives: {cycles: min, utilization: max, dram_bytes: min}
"""
ALL = "cycles,util,macs,dram_read,dram_write,busy,bound,output,buckets,time,macs_per_byte,tiling"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with long names, a sweep of it, and results of two runs and of the sweep."""
    folder = tmp_path_factory.mktemp("widths")
    (folder / "net.yaml").write_text(NETWORK, encoding="utf-8")
    (folder / "sweep.yaml").write_text(SWEEP)
    (folder / "chip.yaml").write_text(CHIP)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, rows in (("a", 16), ("b", 8)):
            command = f"run net.yaml chip.yaml --set array.rows={rows} --json {name}.json -q"
            assert called(command.split()) == 0
        assert called(["sweep", "sweep.yaml", "--jobs", "1", "-q", "--results", "s.sqlite"]) == 0
    return folder


def called(arguments: Sequence[str]) -> int:
    """Call `accelsim`; its exit status."""
    with pytest.raises(SystemExit) as left:
        app([*arguments], prog_name="accelsim")
    return int(left.value.code or 0)


COMMANDS = (
    "list",
    "show net.yaml",
    "show net.yaml --train",
    "show chip.yaml",
    "show eyeriss",
    "show horowitz_45nm",
    "show DDR4-2400",
    "show sweep.yaml",
    "run net.yaml chip.yaml",
    "run net.yaml chip.yaml --why",
    f"run net.yaml chip.yaml --columns {ALL}",
    "run net.yaml eyeriss",
    "run net.yaml chip.yaml --set array.count=2 --batch 3",
    "train net.yaml chip.yaml --loss squared_error",
    "compare net.yaml --hardware chip.yaml",
    "compare net.yaml --hardware chip.yaml --hardware edge_npu --summary --dataflows ws",
    "compare net.yaml --hardware chip.yaml --by block --dataflows os,ws,best",
    f"compare net.yaml --hardware chip.yaml --dataflows os,ws --columns {ALL}",
    "compare net.yaml --hardware chip.yaml --train --dataflows ws",
    "verify net.yaml chip.yaml --layers",
    "compute net.yaml chip.yaml --show out",
    f"explain net.yaml chip.yaml {LONG}",
    f"explain net.yaml eyeriss {LONG}",
    "diff a.json b.json",
    "sweep sweep.yaml --dry-run",
    "results s.sqlite",
    "diff s.sqlite s.sqlite",
    "validate --only gemmini",
)


def seen(found: Sequence[Sheet], width: int) -> list[str]:
    """The lines on a terminal, without its colours."""
    text = sheets.rendered(found, width)
    return [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_row_wraps_under_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    found: list[Sheet] = []
    rendered = sheets.rendered

    def kept(some: Sequence[Sheet], width: int | None = None, encoding: str = "utf-8") -> str:
        found.extend(some)
        return rendered(some, width, encoding)

    monkeypatch.chdir(folder)
    with monkeypatch.context() as patch:
        patch.setattr(sheets, "rendered", kept)
        assert called(command.split()) in (0, 1)
    assert found
    asked = command.partition("--columns ")[2]
    for width in WIDTHS:
        lines = seen(found, width)
        long = [line for line in lines if cell_len(line) > width]
        assert not long, (width, long)
        assert "…" not in "".join(lines)
        assert not asked or "Left out" not in "\n".join(lines)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("bar", [_bar(quiet=False), _bar_on(Console())], ids=["work", "sweep"])
def test_progress_is_one_line(bar: Progress, width: int) -> None:
    """Whatever is done, and whatever its name; a line that wrapped would stay on the screen."""
    task = bar.add_task(f"{LONG} {WIDE}", total=10**9, completed=10**8)
    console = Console(file=StringIO(), force_terminal=True, width=width)
    console.print(bar.get_renderable())
    bar.remove_task(task)
    assert isinstance(console.file, StringIO)
    plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", console.file.getvalue())
    (line,) = plain.splitlines()
    assert cell_len(line) <= width
