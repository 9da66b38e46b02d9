"""TPU v1: its chains, its counters, and what the published rows say of each other."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.weight_fifo import steady_state

from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.network.graph import Network
from accelsim.validation import tpu
from accelsim.validation.catalog import validate
from accelsim.validation.data import table
from accelsim.validation.tpu import (
    Application,
    Chain,
    applications,
    chains,
    counters,
    exposed_shift,
    run_chain,
)

PUBLISHED = {row["app"]: row for row in table("tpu_v1_table1")}
COUNTED = {row["metric"]: row for row in table("tpu_v1_table3")}
APPS = {app.name: app for app in applications()}
CHAINS = [chain for app in APPS for chain in chains(app)]


def fill(chain: Chain) -> float:
    return chain.weights / chain.rounded_up(256, 256).weights


def title(chain: Chain) -> str:
    return f"{chain.app}-{chain.shapes}"


# --- The chains -----------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", CHAINS, ids=title)
def test_chains_have_the_published_weights(chain: Chain) -> None:
    """Published in whole millions."""
    assert chain.weights / 1e6 == pytest.approx(float(PUBLISHED[chain.app]["weights_m"]), abs=0.5)


@pytest.mark.parametrize("chain", CHAINS, ids=title)
def test_the_network_is_the_chain_in_whole_tiles(chain: Chain) -> None:
    stored = chain.rounded_up(256, 256)
    network = stored.network()
    assert len(network.layers) == chain.matrices
    assert sum(layer.parameters for layer in network.layers) == stored.weights
    assert stored.wide % 256 == stored.narrow % 256 == 0
    assert 0 <= stored.wide - chain.wide < 256
    assert 0 <= stored.narrow - chain.narrow < 256
    assert all(
        layer.inputs == (before.name,)
        for before, layer in zip(network.layers, network.layers[1:], strict=False)
    )


@pytest.mark.parametrize("app", APPS)
def test_the_counted_fill(app: str) -> None:
    """As near as whole tiles can: 21 tiles instead of 21.5 for a matrix of MLP1 are 2.4 %."""
    counted = float(COUNTED["useful_macs_pct_peak"][app]) / float(COUNTED["array_active_pct"][app])
    first, other, square = chains(app)
    assert fill(first) == pytest.approx(counted, rel=0.025)
    assert fill(other) == pytest.approx(fill(first), rel=0.01)
    assert (first.wide, first.narrow) != (other.wide, other.narrow)
    assert square.wide == square.narrow


# --- The counters ---------------------------------------------------------------------------------

CYCLES = st.integers(1, 12)


@given(CYCLES, CYCLES, CYCLES)
def test_exposed_shift_is_the_clocked_array(memory: int, active: int, rows: int) -> None:
    """Counted cycle by cycle on an array with two planes of weights behind a FIFO."""
    period, counted = steady_state(memory, active, rows)
    assert period == max(memory, active, rows)
    assert counted["active"] == active
    assert counted["shift"] == exposed_shift(period, active, rows)
    assert counted["stall"] == period - active - exposed_shift(period, active, rows)


def test_counters_by_hand() -> None:
    """200x200 weights on one tile of 256x256, batch 10, two cycles per row, 1,000 cycles each.

    Active 20 of 1,000, shift 256, the rest waits; 2 * 10 * 40,000 operations in 1,000 / 700 MHz.
    """
    app = Application("x", 10, 2, 1.0, 0.1, 0.5, 0.1, 0.3)
    counted = counters(1000.0, load_hardware("tpu_v1"), app, Chain("x", "any", 1, 200, 200))
    assert counted.active == 0.02
    assert counted.weight_shift == 0.256
    assert counted.waiting == pytest.approx(0.724)
    assert counted.tops == pytest.approx(800_000 * 700e6 / 1000 / 1e12)


def test_the_ends_of_the_chain_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of 5 and 7 matrices take 1,100 and 1,500 cycles: 1,000 per batch, 100 at the ends."""
    seen = []

    def run(network: Network, hardware: object, batch: int) -> SimpleNamespace:
        seen.append((len(network.layers), batch))
        return SimpleNamespace(cycles=100 + 200 * len(network.layers))

    monkeypatch.setattr(tpu, "simulate", run)
    chain = Chain("MLP0", "any", 5, 256, 512)
    counted, once = run_chain(APPS["MLP0"], chain)
    assert seen == [(5, 200), (7, 200)]
    assert once.cycles == 1100
    assert counted == counters(1000.0, load_hardware("tpu_v1"), APPS["MLP0"], chain)


# --- What the published rows say ------------------------------------------------------------------


@pytest.mark.parametrize("app", APPS)
def test_the_counters_shares_sum_to_one(app: str) -> None:
    measured = APPS[app]
    total = measured.active + measured.weight_stall + measured.weight_shift + measured.non_matrix
    assert total == pytest.approx(1, abs=0.0015)


def tile_bytes_per_second(app: str, row_cycles: int) -> float:
    """Rate of the weight tiles that the array was active on, by the counters."""
    return 256 * 256 * 700e6 * APPS[app].active / (APPS[app].batch * row_cycles)


@pytest.mark.parametrize(("app", "rate"), [("LSTM0", 58.8e9), ("LSTM1", 50.2e9)])
def test_the_lstms_take_two_cycles_per_row(app: str, rate: float) -> None:
    """At one, memory would exceed its peak, and row 2 would be twice the TOPS of row 9."""
    assert tile_bytes_per_second(app, 1) == pytest.approx(rate, rel=0.001)
    assert tile_bytes_per_second(app, 1) > 34e9 > tile_bytes_per_second(app, 2)
    by_counters = float(COUNTED["useful_macs_pct_peak"][app]) / 100 * 2 * 65536 * 700e6 / 1e12
    assert by_counters / 2 == pytest.approx(APPS[app].tops, rel=0.04)
    assert APPS[app].row_cycles == 2


@pytest.mark.parametrize(
    ("app", "share"), [("MLP0", 0.857), ("MLP1", 0.851), ("LSTM0", 0.864), ("LSTM1", 0.738)]
)
def test_drawn_bandwidth(app: str, share: float) -> None:
    """What the reference's text says of the counters."""
    rate = tile_bytes_per_second(app, APPS[app].row_cycles)
    assert rate / 34e9 == pytest.approx(share, abs=0.001)


@pytest.mark.parametrize(
    ("app", "share"), [("MLP0", 0.92), ("MLP1", 0.957), ("LSTM0", 0.85), ("LSTM1", 0.715)]
)
def test_drawn_bandwidth_by_tops(app: str, share: float) -> None:
    """The same from row 9 and the counted fill."""
    measured = APPS[app]
    counted = float(COUNTED["useful_macs_pct_peak"][app]) / float(COUNTED["array_active_pct"][app])
    rate = measured.tops * 1e12 / (2 * measured.batch) / counted
    assert rate / 34e9 == pytest.approx(share, abs=0.002)


# --- The reference --------------------------------------------------------------------------------


@pytest.mark.slow
def test_results_hinge_on_the_fill_only() -> None:
    """Memory moves weights and nothing else, so its bandwidth and the fill say everything.

    Never faster than the weights can come, and slower by at most a percent: whole bursts and
    cycles. Long reads reach 96.6 % of DDR3-2133's peak.
    """
    peak, share = load_hardware("tpu_v1").dram_bytes_per_cycle * 700e6, 0.966
    for app in APPS.values():
        for chain in chains(app.name)[:2]:
            bound = 2 * app.batch * share * float(peak) * fill(chain) / 1e12
            assert 0.99 * bound < run_chain(app, chain)[0].tops <= bound, chain


@pytest.mark.slow
def test_a_wrong_machine_leaves_the_band(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the memory: the reference notices."""

    def twice(name: str, settings: Sequence[str] = ()) -> Hardware:
        return load_hardware(name, [*settings, "dram.timing.channels=4"])

    monkeypatch.setattr(tpu, "load_hardware", twice)
    monkeypatch.setattr(tpu, "applications", lambda: [APPS["MLP0"], APPS["LSTM0"]])
    monkeypatch.setattr(tpu, "chains", lambda app: chains(app)[:1])
    outcome = validate(only=["tpu"]).outcome("tpu")
    outside = {(each.case, each.quantity) for each in outcome.tally.outside}
    assert ("MLP0", "throughput") in outside
    assert ("LSTM0", "array waits") in outside
    assert not outcome.passed
