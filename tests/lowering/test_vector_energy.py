"""Energy of a tiling of a vector kernel, in closed form, against its tasks added up one by one."""

from dataclasses import replace

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import machine, separate_psums, split, unified
from test_gemm_energy import picojoules
from test_vector_cost import ANY, costs_of, cut, residences, tasks_of

from accelsim.frontend.hardware_file import with_settings
from accelsim.lowering.energy import EnergyRates
from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.target import Target, target_of
from accelsim.lowering.task import Task

BUFFERS = {
    "split": split("1 MiB", "64 KiB", "256 KiB"),  # a byte costs three energies
    "unified": unified("1 MiB"),
    "separate": separate_psums("64 KiB"),
}


def priced(layout: str) -> Target:
    wanted = ["energy=horowitz_45nm", "array.objective=energy"]
    return target_of(with_settings(machine(BUFFERS[layout]), wanted))


def of_task(kernel: VectorKernel, task: Task, rates: EnergyRates) -> float:
    """As of a task of the array; but its operations are the lanes', unless they are MACs."""
    on_array = picojoules(task, rates)
    operations = task.step.work.operations
    each = rates.mac if kernel.filtered else rates.lane_operation
    return on_array + operations * (each - rates.mac)


@given(st.data(), ANY, st.sampled_from([*BUFFERS]))
@drawn(200)
def test_energy_is_that_of_all_tasks(
    data: st.DataObject, kernel: VectorKernel, layout: str
) -> None:
    """Whatever is cut, in passes or by taps, and whatever lies on chip."""
    to = replace(priced(layout), residence=data.draw(residences(kernel)))
    assert to.rates is not None
    tiling = data.draw(cut(kernel))
    told = costs_of(kernel, to, tiling).energy_pj
    done = sum(of_task(kernel, task, to.rates) for task in tasks_of(kernel, to, tiling))
    assert float(told.max()) == pytest.approx(done)
