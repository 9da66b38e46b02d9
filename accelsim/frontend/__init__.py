"""Files as networks and hardware; nothing else reads such files."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from accelsim.frontend.builtin import find_file
from accelsim.network.graph import Network

_LOADERS: Mapping[str, tuple[str, str]] = {  # suffix: module, function; imported when needed
    ".yaml": ("yaml_file", "load_yaml_network"),
    ".yml": ("yaml_file", "load_yaml_network"),
    ".csv": ("scalesim_csv", "load_scalesim_csv"),
}


def load_network(name_or_path: str | Path) -> Network:
    """A built-in network by name (`vgg16`), or one from a file by its suffix.

    Raises InputError: an unknown name, a suffix that nothing reads, or a file with mistakes.
    """
    path = find_file("workloads", name_or_path, tuple(_LOADERS))
    module, function = _LOADERS[path.suffix.lower()]
    loader: Callable[[Path], Network] = getattr(
        import_module(f"accelsim.frontend.{module}"), function
    )
    return loader(path)
