"""What does not fit, or was not given what is forced on it, told of all layers at once."""

from collections.abc import Sequence

from accelsim.errors import DoesNotFitError, alike
from accelsim.hardware import Hardware
from accelsim.lowering.forced import ForcedSearch
from accelsim.lowering.forced_ranks import ForcedGemm, ForcedVector
from accelsim.lowering.kernels import Kernel
from accelsim.lowering.program import Program
from accelsim.lowering.ranking import Tiling, said_of
from accelsim.lowering.search import Search
from accelsim.network.graph import Network


def refuse_misfits(
    network: Network, hardware: Hardware, kernels: Sequence[Kernel], finder: Search
) -> None:
    """Raise DoesNotFitError with every layer that no tile fits, with nothing resident."""
    misfits: dict[str, list[str]] = {}
    for layer, kernel in zip(network.layers, kernels, strict=True):
        try:
            finder.check(kernel)
        except DoesNotFitError as error:
            misfits.setdefault(str(error), []).append(layer.name)
    if misfits:
        where = f"{network.name} on {hardware.name}"
        told = (
            f"{where}: {each}: {why}" for why, names in misfits.items() for each in alike(names)
        )
        raise DoesNotFitError("\n".join(told))


def refuse_others(program: Program, finder: ForcedSearch) -> None:
    """Raise DoesNotFitError where a layer was not given what is forced on it."""
    others = [
        f"{program.network.name} on {program.hardware.name}: layer {layer.layer.name}: "
        f"{finder.misfit(layer.kernel)}; it would fit with its feature maps on chip, but there is "
        "no room for them"
        for layer in program.layers
        if disobeying(layer.kernel, layer.tiling)
    ]
    if others:
        raise DoesNotFitError("\n".join(others))


def disobeying(kernel: Kernel, tiling: Tiling | None) -> bool:
    """Whether a tiling is not what is forced on its kernel."""
    if not isinstance(kernel, (ForcedGemm, ForcedVector)):
        return False
    said = said_of(tiling)
    return any(said.get(axis, value) != value for axis, value in kernel.forced)
