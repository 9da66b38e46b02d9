"""Files as networks; nothing else reads files of networks."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from accelsim.errors import InputError, Problem
from accelsim.frontend.builtin import builtin_names, builtin_path
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
    if isinstance(name_or_path, str) and name_or_path in builtin_names("workloads"):
        return _loader(".yaml")(builtin_path("workloads", name_or_path))
    path = Path(name_or_path)
    if path.suffix.lower() in _LOADERS:
        return _loader(path.suffix.lower())(path)
    suffixes = ", ".join(_LOADERS)
    if path.suffix or path.name != str(name_or_path) or path.exists():
        message = f"cannot tell the format; network files end in {suffixes}"
        raise InputError(Problem(message, str(path)))
    names = builtin_names("workloads")
    near = get_close_matches(str(name_or_path), names, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    known = f"built in are {', '.join(names)}; or give a file ending in {suffixes}"
    raise InputError(Problem(f"unknown network {str(name_or_path)!r}; {hint}{known}"))


def _loader(suffix: str) -> Callable[[Path], Network]:
    module, function = _LOADERS[suffix]
    loader: Callable[[Path], Network] = getattr(
        import_module(f"accelsim.frontend.{module}"), function
    )
    return loader
