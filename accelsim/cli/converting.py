"""The command `convert`: other formats' files as ours."""

from typing import Annotated

import typer

from accelsim.cli.bundles import Reading, bundled
from accelsim.cli.inputs import sizes
from accelsim.cli.output import emit
from accelsim.errors import InputError


@bundled
def convert(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .cfg, .csv or .onnx file.")],
    reading: Reading,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="F.yaml", help="Where to write; - for stdout.")
    ] = "-",
) -> None:
    """Write SCALE-Sim's hardware and topologies, and models in ONNX, as YAML; say what is left out.

    Example: `accelsim convert model.onnx -o model.yaml`
    """
    from accelsim.files import write_file
    from accelsim.frontend.conversion import converted
    from accelsim.report.export import Destinations
    from accelsim.report.tell import tell

    destinations = Destinations(inputs=(file,), files=(("--output", output),))
    if output != "-" and destinations.problems:
        raise InputError(destinations.problems)
    free = reading.unsupported == "free"
    found = converted(file, sizes(reading.dim or ()), reading.outputs or (), free)
    for each in found.left_out:
        tell(f"hint: {file}: left out or changed: {each}")
    if output == "-":
        emit(found.text)
    else:
        write_file(output, found.text)
