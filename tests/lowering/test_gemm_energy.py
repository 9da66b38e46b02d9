"""Energy of a tiling, in closed form, against its tasks added up one by one."""

import numpy as np
import pytest
from cases import KERNELS, as_arrays, tilings
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import SYSTOLIC, machine, split

from accelsim.frontend.hardware_file import with_settings
from accelsim.lowering.energy import EnergyRates
from accelsim.lowering.flow import gemm_flow, share_of, workload
from accelsim.lowering.flow_cost import cost_of
from accelsim.lowering.gemm_energy import energy_of
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.target import Target, target_of
from accelsim.lowering.task import Task
from accelsim.lowering.tiling import GemmTiling, LoopOrder, whole_sizes

ROOMY = split("1 MiB", "64 KiB", "256 KiB")  # of three sizes, so that a byte costs three energies


def priced(dataflow: str) -> Target:
    """A machine whose every count has a price of its own."""
    hardware = machine(ROOMY, {"dataflow": dataflow})
    wanted = ["energy=horowitz_45nm", "array.objective=energy"]
    return target_of(with_settings(hardware, wanted))


def picojoules(task: Task, rates: EnergyRates) -> float:
    """What a task takes: MACs, registers and hops, words of buffers, and bytes of transfers."""
    work, step = task.step.work, task.step
    total = work.operations * rates.mac
    inside, sram = work.inside, work.sram
    wide = inside.psum_register_accesses, inside.psum_network_words
    total += (inside.register_accesses - wide[0]) * rates.register + wide[0] * rates.psum_register
    total += (inside.network_words - wide[1]) * rates.hop + wide[1] * rates.psum_hop
    words = [
        *(("ifmap", sram.ifmap_reads), ("filter", sram.filter_reads), ("ofmap", sram.ofmap_writes)),
        *(("psum", sram.psum_reads), ("psum", sram.psum_writes)),
    ]
    for operand, count in words:
        price = rates.buffers[rates.buffer_of[operand]]  # type: ignore[index]
        total += count * rates.word_bytes[operand] * price  # type: ignore[index]
    for move in step.loads if step.store is None else (*step.loads, step.store):
        total += move.size * (rates.dram_byte + rates.buffers[rates.buffer_of[move.operand]])
    return total


@given(st.data(), KERNELS, st.sampled_from(SYSTOLIC))
@drawn(60)
def test_energy_is_that_of_all_tasks(
    data: st.DataObject, kernel: GemmKernel, dataflow: str
) -> None:
    to = priced(dataflow)
    assert to.rates is not None
    tiling = data.draw(tilings(kernel))
    work = workload(kernel, to, as_arrays(kernel, tiling))
    cost = cost_of(gemm_flow(work, tiling.order, share_of(work)), to)
    (schedule,) = gemm_schedules(kernel, to, tiling)
    tasks = sum(picojoules(task, to.rates) for task in schedule.tasks)
    assert cost.energy_pj == pytest.approx(tasks)


@given(KERNELS, st.sampled_from(SYSTOLIC), st.integers(0, 60), st.integers(0, 9))
@drawn(30)
def test_an_addend_is_read_as_an_ifmap(
    kernel: GemmKernel, dataflow: str, addend: int, added: int
) -> None:
    """So many bytes of it over the channel into the ifmap's buffer, so many words out of that."""
    to = priced(dataflow)
    assert to.rates is not None
    tiling = GemmTiling(*whole_sizes(kernel), LoopOrder.OFMAP_STAYS, "pixels")
    done = workload(kernel, to, as_arrays(kernel, tiling)).done
    none = np.zeros(1)
    assert done is not None
    without = energy_of(done, to, {"filter": none}, 0, 0)
    more = energy_of(done, to, {"filter": none}, addend, added) - without
    buffer = to.rates.buffers["ifmap"]
    assert more[0] == pytest.approx(
        addend * (to.rates.dram_byte + buffer) + added * buffer, abs=1e-3
    )
