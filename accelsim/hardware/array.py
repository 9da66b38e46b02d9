"""The MAC array of a hardware file, and what its dataflows need to know of it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accelsim.hardware.quantities import (
    SYSTOLIC,
    WITH_SPADS,
    Bandwidth,
    Count,
    DataflowName,
    MappingObjective,
    Objective,
    Schema,
)

NO_SPADS = (
    f"dataflow {' or '.join(WITH_SPADS)} needs the spads and networks of the PEs: add "
    "array.row_stationary (as configs/eyeriss.yaml does), or choose "
    f"{', '.join(SYSTOLIC[:-1])} or {SYSTOLIC[-1]}"
)


class RowStationarySpec(Schema):
    """What the row-stationary dataflow needs to know of the PEs and their networks."""

    ifmap_spad: Count = Field(description="Words of ifmap that a PE holds.")
    filter_spad: Count = Field(description="Words of filters that a PE holds.")
    psum_spad: Count = Field(description="Psums that a PE holds.")
    ifmap_network: Bandwidth = Field(description="Rate of ifmap words to all PEs: 2 B/cycle.")
    filter_network: Bandwidth = Field(description="Rate of filter words to all PEs: 8 B/cycle.")
    psum_in_network: Bandwidth = Field(description="Rate of psums from their buffer to the PEs.")
    psum_out_network: Bandwidth = Field(description="Rate of psums from the PEs to their buffer.")
    pipeline_stages: Annotated[int, Field(gt=0, le=64, strict=True)] = Field(
        1, description="Stages of a PE, which a psum passes on its way up the PE set."
    )
    objective: MappingObjective = Field(
        "time",
        description="What the search of rs mappings minimises where array.objective is time: "
        "time; energy: 200 per DRAM word and 6 per buffer word; traffic: of the mappings that "
        "cut filters evenly and fill nine tenths of the PEs, that of DRAM, then of the buffers, "
        "as Eyeriss' own mappings do.",
    )


class Stream(Schema):
    """How pixels stream past filters that stay, command by command."""

    piece: Count = Field(
        description="Pixels of one ofmap row that a command streams at most; the last piece of a "
        "row has what is left of it. A matrix is one row."
    )
    least: Count = Field(1, description="Steps that a piece takes however few its pixels.")
    in_flight: Annotated[int, Field(ge=1, le=1024, strict=True)] | None = Field(
        None,
        description="Pieces that the array holds at a time, from a piece's first pixel until its "
        "last result is out, rows + cols + 1 cycles after its last pixel; any number if left out.",
    )

    @model_validator(mode="after")
    def _a_whole_piece_is_enough(self) -> "Stream":
        if self.least > self.piece:
            raise ValueError(f"least {self.least} is more than piece {self.piece}")
        return self


class Array(Schema):
    """An array of MACs: systolic (os, ws, is) or row stationary (rs)."""

    rows: Count = Field(description="PEs in a column.")
    cols: Count = Field(description="PEs in a row.")
    dataflow: DataflowName = Field(
        description="What stays in the PEs: os, ws, is or rs; best: for each layer that of os, ws "
        "and is which `objective` finds best."
    )
    objective: Objective = Field(
        "time",
        description="What the search of tilings and the dataflow best minimise: time; energy, "
        "which needs a table; edp, their product.",
    )
    changeover: Annotated[int, Field(ge=0, le=2**20, strict=True)] | Literal["auto"] = Field(
        "auto",
        description="Cycles that the dataflow best pays where an array goes from one dataflow to "
        "another, once it has drained; auto: as many as it has rows, for PEs take their settings "
        "row by row, as they take filters.",
    )
    fold_overlap: Literal["serial", "pipelined"] = Field(
        "serial",
        description="serial: a fold starts when the one before has drained; pipelined: shadow "
        "registers let the next fold load, and the last one drain, while this one streams.",
    )
    edge_folds: Literal["full", "used"] = Field(
        "full",
        description="full: an edge fold costs as much as a full one; used: only the rows and "
        "columns it fills.",
    )
    reduction: Literal["window", "tap"] = Field(
        "window",
        description="What shares a fold of the side that sums up (rows under ws and is, time under "
        "os): window, all channels and taps of a kernel packed together; tap, channels of one tap "
        "only, and the taps one after another.",
    )
    stream: Stream | None = Field(
        None,
        description="Pieces in which pixels stream under ws, where folds are pipelined; the next "
        "filters load beside a fold's first piece. All pixels of a tile together if left out.",
    )
    drain: Literal["rows", "cols"] = Field(
        "rows",
        description="Which way ofmaps that stay (os) leave: rows, down their column through the "
        "rows below; cols, along their row through the columns beside.",
    )
    drain_start: Literal["lane", "array"] = Field(
        "lane",
        description="When they start to leave: lane, each column (or row) when its own last PE "
        "has finished; array, all together when the last PE of all has.",
    )
    mac_stages: Annotated[int, Field(gt=0, le=64, strict=True)] = Field(
        1,
        description="Registers from a PE's operands to its result: 1 multiplies and adds in one "
        "cycle; product, sum and output registers are 3.",
    )
    psum_registers: Annotated[int, Field(gt=0, le=64, strict=True)] = Field(
        1, description="Registers that a psum passes in each PE where psums move (ws, is)."
    )
    count: Annotated[int, Field(gt=0, le=1024, strict=True)] = Field(
        1, description="Arrays that share the DRAM, each with its own buffers."
    )
    row_stationary: RowStationarySpec | None = Field(
        None, description="Spads and networks of the PEs; the dataflow rs needs them."
    )

    @property
    def uses_spads(self) -> bool:
        """Whether its PEs keep words in scratch pads; else each has single registers."""
        return self.dataflow in WITH_SPADS

    @property
    def changeover_cycles(self) -> int:
        """Cycles from drained under one dataflow to ready under another."""
        return self.rows if self.changeover == "auto" else self.changeover

    @model_validator(mode="after")
    def _rows_have_spads(self) -> "Array":
        if self.uses_spads and self.row_stationary is None:
            raise ValueError(NO_SPADS)
        return self

    @model_validator(mode="after")
    def _pieces_are_pipelined(self) -> "Array":
        if self.stream is not None and self.fold_overlap == "serial":
            raise ValueError("stream needs fold_overlap: pipelined; a serial fold drains first")
        return self
