"""Odd arguments of the Python functions: taken for what they are, or refused in our own words."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from machines import chain, machine

import accelsim
from accelsim.arguments import KINDS
from accelsim.errors import AccelsimError, InputError
from accelsim.network.ops import Relu
from accelsim.validation.outcome import Validation

NETWORK, HARDWARE = chain((2, 3, 3), Relu()), machine()
RUN: dict[str, Any] = {"network": NETWORK, "hardware": HARDWARE}
RESULT = accelsim.simulate(NETWORK, HARDWARE)


def validated(only: Any) -> Any:
    """Of no reference at all, and not of all of them."""
    none = isinstance(only, (list, tuple, set)) and not only
    return accelsim.validate("none" if none else only)


POINT = {"name": "s", "networks": ["mlp"], "base": "edge_ws", "matrix": {"array.rows": [0]}}
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any], tuple[str, ...]]] = {
    "simulate": (
        *(accelsim.simulate, RUN),
        (
            *("network", "hardware", "dataflow", "batch", "mapping", "set", "trace", "trace_dram"),
            *("trace_sram", "memory", "tiles"),
        ),
    ),
    "train": (
        *(accelsim.train, RUN),
        ("network", "batch", "loss", "optimizer", "set", "recompute"),
    ),
    "verify": (
        *(accelsim.verify, RUN),
        ("network", "hardware", "batch", "seed", "mapping", "progress"),
    ),
    "compare": (
        *(accelsim.compare, {"networks": NETWORK, "hardware": HARDWARE}),
        ("networks", "hardware", "dataflows", "batch", "set"),
    ),
    "compute": (*(accelsim.compute, RUN), ("network", "batch", "seed", "inputs", "layers", "set")),
    "explain": (*(accelsim.explain, {**RUN, "layer": "a"}), ("layer", "dataflow", "batch")),
    "what_would_help": (*(accelsim.what_would_help, RUN), ("network", "hardware", "set")),
    "decoding": (*(accelsim.decoding, {"network": NETWORK, "past": 3}), ("network", "past")),
    "load_network": (
        *(accelsim.load_network, {"name_or_path": "mlp"}),
        ("name_or_path", "dims", "outputs", "free"),
    ),
    "load_hardware": (
        *(accelsim.load_hardware, {"name_or_path": "edge_ws"}),
        ("name_or_path", "settings"),
    ),
    "load_results": (*(accelsim.load_results, {}), ("path",)),
    "sweep": (
        *(accelsim.sweep, {"source": POINT}),
        ("source", "results", "jobs", "scheduler", "retry_failed"),
    ),
    "converted": (*(accelsim.converted, {"name": "t.csv"}), ("name", "dims", "outputs")),
    "from_torch": (
        *(accelsim.from_torch, {"model": SimpleNamespace(graph_signature=None)}),
        ("model", "example_inputs", "name"),
    ),
    "validate": (*(validated, {}), ("only",)),
    "layer": (*(RESULT.layer, {}), ("name",)),
    "outcome": (*(Validation(()).outcome, {}), ("name",)),
    "real": (*(accelsim.compute(NETWORK).real, {}), ("name",)),
    "save": (*(accelsim.compute(NETWORK).save, {}), ("path",)),
}
CASES = [(name, key) for name, (_, _, keys) in CALLS.items() for key in keys]


class Odd:
    """Nothing that anybody expects."""


class Raises:
    """What fails however it is looked at."""

    def __repr__(self) -> str:
        raise RuntimeError("none")

    __str__ = __index__ = __fspath__ = __bool__ = __repr__  # type: ignore[assignment]


ODD: tuple[Any, ...] = (
    *("", "x\0y", "\x1b[2J", "a" * 5000, "\ud800", b"lenet5", 0, -1, 1.5, 10**30, 2**63, True),
    *(float("nan"), float("inf"), np.int64(1), np.float64(2), np.bool_(True), np.array([1, 2])),
    *(np.array(["a"]), np.full((2, 3, 3), np.nan), 1j, [], {}, (), set(), [None], [["a"]], [1]),
    *({"a": 1}, {1: 2}, {"*": {"rows": np.int64(2)}}, {"*": 3}, {"a": None}, {"x": np.nan}),
    *(Path("none/x.yaml"), Path("/dev/zero"), Path("/"), Odd(), Odd, len, Raises()),
    *(
        10**5000,
        [10**5000],
        {"a": 10**5000},
        {"a": Raises()},
        range(2),
        iter("a"),
        NETWORK,
        HARDWARE,
    ),
)


@pytest.mark.parametrize(("name", "key"), CASES)
def test_odd_arguments_are_taken_or_refused_in_words(
    name: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, others, _ = CALLS[name]
    for value in ODD:
        if key == "progress" and callable(value):
            continue  # what it raises is its own
        try:
            call(**{**others, key: value})
        except AccelsimError as error:
            told = str(error)
            assert told.strip(), value
            assert len(told) < 3000, value
            assert all(each.isprintable() or each == "\n" for each in told), value


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        accelsim.simulate(3, HARDWARE, batch=1.5, set="array.rows=8")  # type: ignore[arg-type]
    assert str(caught.value).splitlines() == [
        "network: expected a name, a path, or what was loaded from one, found 3",
        "batch: expected a whole number, found 1.5",
        "set: expected a list of texts, found 'array.rows=8'",
    ]


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    once, again = (accelsim.simulate("mlp", "edge_ws", batch=each) for each in (2, np.int64(2)))
    assert once.as_dict() == again.as_dict()
    assert type(again.batch) is int


def test_every_kind_is_of_an_argument_that_is_tried() -> None:
    assert {*KINDS} <= {key for _, key in CASES} | {f"{name}.{key}" for name, key in CASES}
