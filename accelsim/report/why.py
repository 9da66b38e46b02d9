"""What `--why` prints: every change that was tried, and the verdict as a sentence."""

from accelsim.report.quantities import NONE
from accelsim.report.sheet import Column, Row, Sheet
from accelsim.units import format_bytes
from accelsim.why import Change, Why


def why_sheets(why: Why) -> list[Sheet]:
    """The table of changes, the most helpful first, and at its end the sentence."""
    energy = any(change.saved_energy is not None for change in why.changes)
    columns = (
        *(Column("change", prose=True), Column("cycles", drop=2), Column("time saved\n%")),
        *((Column("energy saved\n%"),) if energy else ()),
        *(Column("PEs", drop=1), Column("SRAM", drop=1), Column("registers", drop=1)),
    )
    title = f"{why.network} on {why.hardware} ({why.dataflow}): what each change would save"
    rows = tuple(_row(change, energy) for change in why.changes)
    notes = ("PEs, SRAM, registers: what the change adds to the chip.",) if rows else ()
    table = Sheet(title=title, columns=columns, rows=rows, notes=notes)
    return [*([table] if rows else []), Sheet(title=why.sentence)]


def _row(change: Change, energy: bool) -> Row:
    cost = change.cost
    added = (
        *(f"+{cost.pes:,}" if cost.pes else NONE,),
        *(_added(cost.sram_bytes), _added(cost.register_bytes)),
    )
    cycles = "does not fit" if change.cycles is None else f"{change.cycles:,}"
    saved = NONE if change.cycles is None else f"{100 * change.saved:+.1f}"
    joules = NONE if change.saved_energy is None else f"{100 * change.saved_energy:+.1f}"
    return Row((change.action, cycles, saved, *((joules,) if energy else ()), *added))


def _added(count: int) -> str:
    return f"+{format_bytes(count)}" if count else NONE
