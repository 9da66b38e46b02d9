"""The mapping that a sweep forces on each of its points."""

from collections.abc import Mapping
from hashlib import sha256

from accelsim.errors import InputError
from accelsim.frontend.mapping_file import Source, load_mapping
from accelsim.frontend.sweep_file import SweepFile
from accelsim.network.graph import Network
from accelsim.network.passes import absorbed
from accelsim.sweep.axes import Findings
from accelsim.sweep.variants import named_path

KEY = ("mapping",)


def forced_on(
    file: SweepFile, networks: Mapping[str, Network], digests: dict[str, str], found: Findings
) -> tuple[Source | None, dict[str, str]]:
    """What a sweep forces, and the digests of the `networks` with it; None if nothing.

    What is wrong with it is noted in `found`.
    """
    if file.mapping is None:
        return None, digests
    given = file.mapping
    try:
        source = load_mapping(named_path(file.folder, given) if isinstance(given, str) else given)
    except InputError as error:
        found.in_named_file(error, KEY)
        return None, digests
    from accelsim.lowering.forced import strange_layers  # takes a while to import

    for network in networks.values():
        gone = absorbed(network)
        names = [layer.name for layer in network.layers if layer.name not in gone]
        for problem in strange_layers(names, source):
            found.at(KEY, f"{network.name}: {problem.message}")
    text = repr(source.content)
    return source, {path: _with(digest, text) for path, digest in digests.items()}


def _with(digest: str, text: str) -> str:
    """A network's digest with what is forced on it."""
    return sha256(f"{digest}\n{text}".encode()).hexdigest()
