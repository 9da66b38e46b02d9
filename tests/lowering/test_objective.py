"""Least energy and least energy times delay: the closed form, the search, and whole networks."""

from dataclasses import replace

import numpy as np
import pytest
from drawing import any_tilings, drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, dense, machine, max_pool, networks
from search_cases import mid_case
from search_contract import cost_gap

import accelsim
from accelsim.errors import DoesNotFitError, InputError
from accelsim.facade import compile_program, simulate
from accelsim.frontend.hardware_file import with_settings
from accelsim.hardware import Hardware, Objective
from accelsim.lowering.kernels import Alias, GemmKernel, VectorKernel
from accelsim.lowering.objective import weighed
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.ranking import Ranked
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.row_stationary_ranks import ranked_as
from accelsim.lowering.search import Ranks, search
from accelsim.lowering.tiling import GemmTiling, VectorTiling
from accelsim.lowering.vector_cost import VectorCosts
from accelsim.lowering.vector_search import ranked_of
from accelsim.lowering.work import by_itself
from accelsim.network.graph import Network
from accelsim.results import RunResult
from accelsim.results.accounting import picojoules

OTHERS: tuple[Objective, ...] = ("energy", "edp")


def judged_by(hardware: Hardware, objective: Objective) -> Hardware:
    return with_settings(hardware, ["energy=horowitz_45nm", f"array.objective={objective}"])


# --- The closed form ------------------------------------------------------------------------------


def closed_form(program: Program, layer: LayerProgram) -> Ranked:
    """What the search takes a layer's tiling to cost, with what lies on chip."""
    kernel, tiling, residence = layer.kernel, layer.tiling, layer.placement.residence
    target = replace(program.target, residence=residence)
    if isinstance(kernel, VectorKernel) and isinstance(tiling, VectorTiling):
        sizes = np.array([[getattr(tiling, name) for name in tiling.__slots__]]).T
        return ranked_of(VectorCosts(kernel, target, sizes), 0)
    assert isinstance(kernel, GemmKernel)
    if isinstance(tiling, Mapping):
        return ranked_as(kernel, target, tiling)
    ranks = search(program.target)(kernel, residence)
    assert isinstance(ranks, Ranks)
    assert isinstance(tiling, GemmTiling)
    return ranks.cost_of(tiling, ranks.whole_space)


compiled_somehow = any_tilings(compile_program)


@drawn(60, percent=6)
@given(networks(), MACHINES, st.sampled_from(OTHERS), st.integers(1, 3))
def test_energy_is_what_the_tasks_add_up_to(
    network: Network, hardware: Hardware, objective: Objective, batch: int
) -> None:
    """On any machine, on chip or not; with several arrays the last one's share is a bound."""
    try:
        program = compiled_somehow(network, judged_by(hardware, objective), batch=batch)
    except DoesNotFitError:
        return
    for layer in program.layers:
        if not isinstance(layer.kernel, Alias):
            assert layer.tiling is not None
            done = picojoules(by_itself(program, layer, layer.tiling))
            told = closed_form(program, layer).energy_pj
            assert told >= done * (1 - 1e-9)
            if hardware.array.count == 1:
                assert told == pytest.approx(done, rel=1e-9)


# --- The search -----------------------------------------------------------------------------------


def gaps(objective: Objective, numbers: range) -> dict[int, float]:
    """By case, the chosen tiling's cost over the least of every tiling, in every way."""
    cases = {number: mid_case(3, number, least=64, most=20_000) for number in numbers}
    changed = {
        at: replace(case, hardware=judged_by(case.hardware, objective))
        for at, case in cases.items()
    }
    return {at: cost_gap(case, exhaustive=True).ratio for at, case in changed.items()}


@pytest.mark.parametrize("objective", OTHERS)
def test_the_chosen_tiling_is_within_three_percent_of_the_best(objective: Objective) -> None:
    assert max(gaps(objective, range(3)).values()) <= 1.03


@pytest.mark.slow
@pytest.mark.parametrize("objective", OTHERS)
def test_all_but_one_in_fifty_are_and_none_is_far_off(objective: Objective) -> None:
    """As `test_search_contract` has it of time."""
    ratios = gaps(objective, range(3, 23))
    assert sum(ratio > 1.03 for ratio in ratios.values()) <= 1, ratios
    assert max(ratios.values()) <= 1.15, ratios


# --- Whole networks -------------------------------------------------------------------------------


def spent(run: RunResult, objective: Objective) -> float:
    assert run.energy is not None
    return float(weighed(objective, run.cycles, run.energy.total))


def run_by(network: Network | str, hardware: Hardware, objective: Objective) -> RunResult:
    return simulate(network, judged_by(hardware, objective))


@pytest.mark.slow
@drawn(40)
@given(networks(), MACHINES)
def test_no_objective_beats_another_at_its_own(network: Network, hardware: Hardware) -> None:
    try:
        timed = run_by(network, hardware, "time")
    except DoesNotFitError:
        return
    saving, product = (run_by(network, hardware, each) for each in OTHERS)
    assert timed == replace(
        simulate(network, with_settings(hardware, ["energy=horowitz_45nm"])), origin=timed.origin
    )
    assert spent(saving, "energy") <= spent(timed, "energy") * (1 + 1e-12)
    for other in (timed, saving):
        assert spent(product, "edp") <= spent(other, "edp") * (1 + 1e-12)


def test_it_saves_much_where_time_is_bound_by_the_array() -> None:
    """A tile of all filters and few pixels is as fast as any here, and loads filters again."""
    network = chain((32, 28, 28), conv(64, 3, padding=1))
    chip = accelsim.load_hardware("edge_npu")
    timed, saving = (run_by(network, chip, each) for each in ("time", "energy"))
    assert spent(saving, "energy") < 0.9 * spent(timed, "energy")
    assert spent(saving, "time") > spent(timed, "time")


@pytest.mark.parametrize("flow", ["os", "ws", "is", "rs", "best"])
def test_energy_without_a_table_is_refused(flow: str) -> None:
    settings = [f"array.dataflow={flow}", "array.objective=energy"]
    chip = with_settings(machine(), settings)
    with pytest.raises(InputError, match="needs an energy table") as caught:
        simulate(chain((3, 8, 8), conv(8, 3), dense(4)), chip)
    assert "array.objective" in str(caught.value)


@pytest.mark.parametrize(("objective", "layer"), [("energy", "b"), ("edp", "a")])
def test_explain_compares_by_the_objective(objective: Objective, layer: str) -> None:
    network = chain((6, 14, 14), conv(16, 5), max_pool(2))
    told = accelsim.explain(
        network, judged_by(accelsim.load_hardware("edge_npu"), objective), layer
    )
    assert told.objective == objective
    costs = [each.cost for each in told.contenders]
    assert costs == sorted(costs)
    for each in told.contenders:
        assert each.energy_pj is not None
        product = weighed(told.minimised, each.cost_cycles, each.energy_pj)
        assert each.cost == pytest.approx(product, rel=1e-6)
