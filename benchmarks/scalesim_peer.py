"""SCALE-Sim 3.0.0 on AlexNet's convolutions: the same topology file as accelsim reads."""

import contextlib
import importlib.util
import io
import time
from pathlib import Path

TOPOLOGY = """Layer, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, \
Strides,
conv1, 227, 227, 11, 11, 3, 96, 4,
conv2, 31, 31, 5, 5, 48, 256, 1,
conv3, 15, 15, 3, 3, 256, 384, 1,
conv4, 15, 15, 3, 3, 192, 384, 1,
conv5, 15, 15, 3, 3, 192, 256, 1,
"""
"""Padding is part of the ifmap; grouped layers read the channels of one group."""

CONFIG = """[general]
run_name = peer
[architecture_presets]
ArrayHeight = 32
ArrayWidth = 32
IfmapSramSzkB = 64
FilterSramSzkB = 64
OfmapSramSzkB = 64
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Dataflow = ws
Bandwidth = 10
ReadRequestBuffer = 32
WriteRequestBuffer = 32
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 8
RandomNumberGeneratorSeed = 40
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


def installed() -> bool:
    """Whether SCALE-Sim can be imported."""
    return importlib.util.find_spec("scalesim") is not None


def seconds(folder: Path) -> float:
    """CPU seconds of SCALE-Sim for TOPOLOGY, without writing traces."""
    from scalesim.scale_sim import scalesim

    topology, config = folder / "alexnet.csv", folder / "peer.cfg"
    topology.write_text(TOPOLOGY)
    config.write_text(CONFIG)
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        simulator = scalesim(True, False, str(config), str(topology), str(topology), False)
        simulator.run_scale(top_path=str(folder))
    return time.process_time() - start
