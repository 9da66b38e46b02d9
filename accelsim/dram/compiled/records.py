"""What the one memory of a compiled replay has: records of whole numbers, known by their addresses.

The names are the offsets of a record's fields; of the channel's own, their addresses.
"""

import numpy as np
from numpy.typing import NDArray

Memory = NDArray[np.int64]

LONG_AGO, NEVER = -(10**9), 10**18

# The channel's state, where its records and lists are, and how long these are
CLOCK, SCAN, ACTIVATES, ROWS_FREE, COLUMNS_FREE, DRAINING = range(6)
READS, READING, WRITES, WRITING, ACTIVE, ACTING, HALVES, FIRST_HALF, LAST_HALF = range(6, 15)
DONES, DONE, REQUESTS, COUNT, QUEUE, SPLIT, LATE = range(15, 22)
# its sheet
(N_RC, N_RCD, N_RCDWR, N_RAS, N_RRDL, N_RRDS, N_FAW, N_AAD, N_RP, N_PPD) = range(22, 32)
(N_CCDS, N_CCDL, N_CCDL_WR, N_RTP, N_CL, N_BL, READ_TO_WRITE) = range(32, 39)
(WRITE_TO_READ, WRITE_TO_READ_L, RECOVERY, ACTIVATE_SLOTS, COLUMN_SLOTS) = range(39, 44)
CHANNEL = 44

# When each command may be given to a bank, a bank group or a bus
TO_ACTIVATE, TO_READ, TO_WRITE, TO_PRECHARGE = range(4)
# of a bank (row -1: none is open; missing from -1: nothing is), of a bus its last four activates
ROW, OWED, HIT_REFUSED, OTHER_REFUSED, MISSING_FROM, MISSING_TO = range(4, 10)
FOUR, FOURTH = range(4, 6)
TIMES, BANK, BUS = 4, 10, 10

# A request
BUS_OF, GROUP_OF, BANK_OF, ROW_OF, IS_WRITE = range(5)
REQUEST = 5
