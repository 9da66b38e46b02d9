"""Which references there are, and the comparison of all of them or some."""

from collections.abc import Callable, Collection, Sequence
from importlib import import_module

from accelsim.arguments import checked
from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.validation.outcome import Outcome, Validation, compared
from accelsim.validation.reference import Comparison, Reference

MODULES = (
    *("rtl", "scalesim", "gemmini", "gemmini_layers", "eyeriss", "eyeriss_vgg16"),
    *("tpu", "tpu_v3", "nvdla", "dram"),
)
"""The modules of this package with a `REFERENCE`, or several `REFERENCES`, in report order."""


def references(only: Collection[str] = ()) -> tuple[Reference, ...]:
    """All references, or those named; raises InputError for a name that none has."""
    everything = tuple(reference for module in MODULES for reference in _loaded(module))
    names = [reference.name for reference in everything]
    problems = [_unknown(name, names) for name in only if name not in names]
    if problems:
        raise InputError(problems)
    return tuple(each for each in everything if not only or each.name in only)


@checked
def validate(
    only: str | Collection[str] = (), progress: Callable[[Outcome], None] | None = None
) -> Validation:
    """Hold accelsim against its published references, or those named in `only`.

    `progress` is called after each. Raises InputError for an unknown name; a reference that
    cannot run is an outcome with a `failure`.
    """
    outcomes = []
    for reference in references((only,) if isinstance(only, str) else only):
        outcomes.append(compared(reference))
        if progress is not None:
            progress(outcomes[-1])
    return Validation(tuple(outcomes))


def _unknown(name: str, names: Sequence[str]) -> Problem:
    hint = did_you_mean(name, names)
    return Problem(
        message=f"unknown reference {name!r}; {hint}there are {', '.join(names)}", source="--only"
    )


def _loaded(module: str) -> Sequence[Reference]:
    """The references of a module; one that raises when compared, if the module cannot load."""
    try:
        loaded = import_module(f"accelsim.validation.{module}")
    except Exception as error:  # one broken module must not hide the others
        return (_unloadable(module, error),)
    several: Sequence[Reference] | None = getattr(loaded, "REFERENCES", None)
    return (loaded.REFERENCE,) if several is None else several


def _unloadable(module: str, error: Exception) -> Reference:
    def compare() -> Sequence[Comparison]:
        raise error

    unknown_yet = "not known, for its module cannot be loaded"
    return Reference(
        name=module, title=module, source=unknown_yet, assumption=unknown_yet, compare=compare
    )
