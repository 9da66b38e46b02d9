"""What the one memory of compiled code has: records of whole numbers, known by their addresses.

The names are the offsets of a record's fields; of the machine's own, their addresses. An address
of 0 is none, of cycles -1. What a field means is said at the class that it is of in the engine.
"""

import numpy as np
from numpy.typing import NDArray

Memory = NDArray[np.int64]

# The machine: its clock, how many are due, called, asked for, of those `MOST` that there may be,
# and where each kind of record is.
(NOW, ORDERED, DUE, CALLED, FIRST_SOON, LAST_SOON, FREE_ITEM, FREE_REQUEST) = range(8)
(WRITING, CHANNEL_FREE_AT, REQUESTS, ASKED_FOR, STATUS, MOST) = range(8, 14)
(LATENCY, TO_READ, TO_WRITE, CHANGEOVER) = range(14, 18)
(AGENDA, CALLS, SOON, UNITS, UNITS_END, BUFFERS, ROOM_SIZE) = range(18, 25)
MACHINE = 25

# What became of it, in `STATUS`
TOO_MANY = 1

# An event of the agenda; a call has the last two.
AT, ORDER, WHAT, WHICH = range(4)
EVENT, CALL = 4, 2

# A step, an ask, an entry of a nest (a step, or a nest that comes so many times), and the nest
(CYCLES, TAIL, LOADS, PUTS_AWAY, FINISHES, STORE_CYCLES, MOVE_CYCLES, MOVES_INTO) = range(8)
(FREES, FREES_SIZE, STORED, STORED_SIZE, ASKS, ASKS_END, CLOSES, CLOSES_END) = range(8, 16)
STEP_SIZE = 16
BUFFER, SIZE, TRANSFER, NEEDS_INPUTS, PSUMS_BEHIND = range(5)
ASK, CLOSE = 5, 2
ENTRY, TIMES = range(2)
FROM, TO = range(2)

# A layer: its gates, the parts that are not done, then by buffer the space of its tiles
DATAFLOW, PARTS, INPUTS, FILTERS, DONE, SPACES = range(6)

# A gate: what it needs yet, since when it is open, the gates that wait for it, then the loaders
NEEDS, TRIGGERED, PROCESSED, OPENED_AT, WAITING, WAITING_END, LOADERS = range(7)

# A core's part of a layer, then by buffer the bytes of its pair of tiles
LAYER, NEST, UNFINISHED, LEFT = range(4)
OPEN, LINE_BEGUN, COMPUTED, AWAY, LINE_TAIL, READ_WAIT, WRITE_WAIT, OTHER_LAYER = range(4, 12)
PAIRS = 12

# A unit, and the loop that it is in
(WORK, TOTAL, PART, ITEM, ASKED, HAS_ROOM, BLOCKED_IN, AWAITED, TASKS, FRAME, FRAMES) = range(11)
(BEGUN, BUSY_UNTIL, FREE_AT, DRAINED_AT, FLOW, CURRENT, STORING, AHEAD) = range(11, 19)
(FIRST_LOADED, LAST_LOADED, FIRST_REQUEST, LAST_REQUEST, TO_PLAY, SPILLED) = range(19, 25)
(KIND, OTHER, ROOMS, WISH_SIZE, WISH_SPACE) = range(25, 30)
UNIT = 30
FRAME_NEST, FRAME_ENTRY, FRAME_LEFT = range(3)
FRAME_SIZE = 3

# A loaded task, and a transfer that waits
STEP, OF, OWNER, INDEX, PENDING, ARRIVAL, ROOM_AT, CROWDED, NEXT = range(9)
LOADED = 9
TASK, HELD, IS_WRITE, BEHIND, TURN, AFTER = range(6)
REQUEST = 6

# A core's buffer: what each of its units holds (-1: it has never held any), then by space what
# is taken. The sizes of the spaces are the same on all cores.
HELD_BY, HELD_BY_VECTOR, FIRST_WISH, SECOND_WISH, MOVES_UNTIL, INDEX_OF, BYTES = range(7)
SPACE_SIZES, SPACES_END, TAKEN = range(7, 10)
