"""accelsim: an AI-accelerator simulator with exact outputs.

>>> import accelsim
>>> result = accelsim.simulate("lenet5", "edge_ws")
>>> result.layer("C1").gemm
(784, 6, 25)
"""

TYPE_CHECKING = False  # as in typing, which takes its time: Ctrl-C is heard only behind this
if TYPE_CHECKING:
    from accelsim.computing import Values, compute
    from accelsim.errors import (
        AccelsimError,
        DoesNotFitError,
        InputError,
        Problem,
        SimulationError,
        TryAgainError,
        UnknownNameError,
    )
    from accelsim.explanation import Explanation, explain
    from accelsim.facade import compare, decoding, simulate, train, verify
    from accelsim.frontend import load_network
    from accelsim.frontend.conversion import converted
    from accelsim.frontend.hardware_file import load_hardware
    from accelsim.frontend.pytorch import from_torch
    from accelsim.results import RunResult, VerifyResult
    from accelsim.results.comparison import Comparison
    from accelsim.sweep.execute import sweep
    from accelsim.sweep.summary import Summary, load_results
    from accelsim.validation.catalog import validate
    from accelsim.validation.outcome import Validation
    from accelsim.why import Why, what_would_help

__version__ = "0.1.0"
__all__ = [
    "AccelsimError",
    "Comparison",
    "DoesNotFitError",
    "Explanation",
    "InputError",
    "Problem",
    "RunResult",
    "SimulationError",
    "Summary",
    "TryAgainError",
    "UnknownNameError",
    "Validation",
    "Values",
    "VerifyResult",
    "Why",
    "compare",
    "compute",
    "converted",
    "decoding",
    "explain",
    "from_torch",
    "load_hardware",
    "load_network",
    "load_results",
    "simulate",
    "sweep",
    "train",
    "validate",
    "verify",
    "what_would_help",
]

_HOMES = {
    **dict.fromkeys(
        (
            *("AccelsimError", "DoesNotFitError", "InputError", "Problem"),
            *("SimulationError", "TryAgainError", "UnknownNameError"),
        ),
        "accelsim.errors",
    ),
    "Comparison": "accelsim.results.comparison",
    "RunResult": "accelsim.results",
    "Summary": "accelsim.sweep.summary",
    "Validation": "accelsim.validation.outcome",
    "Values": "accelsim.computing",
    "VerifyResult": "accelsim.results",
    "Why": "accelsim.why",
    "compare": "accelsim.facade",
    "compute": "accelsim.computing",
    "converted": "accelsim.frontend.conversion",
    "decoding": "accelsim.facade",
    "Explanation": "accelsim.explanation",
    "explain": "accelsim.explanation",
    "load_hardware": "accelsim.frontend.hardware_file",
    "from_torch": "accelsim.frontend.pytorch",
    "load_network": "accelsim.frontend",
    "load_results": "accelsim.sweep.summary",
    "simulate": "accelsim.facade",
    "train": "accelsim.facade",
    "validate": "accelsim.validation.catalog",
    "verify": "accelsim.facade",
    "what_would_help": "accelsim.why",
}


def __getattr__(name: str) -> object:
    """Import the public names when they are first used, so that `accelsim --help` is quick."""
    from importlib import import_module

    if name == "sweep":
        return import_module("accelsim.sweep")
    if name not in _HOMES:
        raise AttributeError(f"module 'accelsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, those that are not imported yet as well."""
    return [*__all__, "__version__"]
