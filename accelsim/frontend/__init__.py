"""Files as networks and hardware; nothing else reads such files."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from accelsim.arguments import checked
from accelsim.errors import InputError, Problem
from accelsim.frontend.builtin import find_file
from accelsim.network.graph import Network

_LOADERS: Mapping[str, tuple[str, str]] = {  # suffix: module, function; imported when needed
    ".yaml": ("yaml_file", "load_yaml_network"),
    ".yml": ("yaml_file", "load_yaml_network"),
    ".csv": ("scalesim_csv", "load_scalesim_csv"),
}


ONNX = ".onnx"


@checked
def load_network(
    name_or_path: str | Path,
    dims: Mapping[str, int] | None = None,
    outputs: Sequence[str] = (),
    free: bool = False,
) -> Network:
    """A built-in network by name (`vgg16`), or one from a file by its suffix.

    `dims`, `outputs` and `free` are of ONNX models: their open sizes by name, where to end, and
    whether what cannot be simulated is taken as free, which the network's name tells. Raises
    InputError: an unknown name, a suffix that nothing reads, or a file with mistakes.
    """
    path = find_file("workloads", name_or_path, (*_LOADERS, ONNX))
    if path.suffix.lower() == ONNX:
        from accelsim.frontend.onnx import load_onnx

        return load_onnx(path, dims, outputs, free)
    if dims or outputs or free:
        message = "only .onnx files have sizes to give, outputs to choose and unknown operators"
        raise InputError(Problem(message=message, source=str(name_or_path)))
    module, function = _LOADERS[path.suffix.lower()]
    loader: Callable[[Path], Network] = getattr(
        import_module(f"accelsim.frontend.{module}"), function
    )
    return loader(path)
