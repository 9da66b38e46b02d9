"""The command `convert`: other formats' files as ours."""

from typing import Annotated

import typer

from accelsim.cli.inputs import Model, sizes
from accelsim.cli.options import DimOption, OutputsOption
from accelsim.cli.output import emit
from accelsim.errors import InputError


def convert(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .cfg, .csv or .onnx file.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="F.yaml", help="Where to write; - for stdout.")
    ] = "-",
    dim: DimOption = None,
    outputs: OutputsOption = None,
) -> None:
    """Write SCALE-Sim's hardware and topologies, and models in ONNX, as YAML; say what is left out.

    Example: `accelsim convert model.onnx -o model.yaml`
    """
    from accelsim.files import write_file
    from accelsim.frontend.conversion import converted
    from accelsim.report.export import Destinations
    from accelsim.report.tell import tell

    model = Model(file, dim, outputs)
    destinations = Destinations(inputs=(file,), files=(("--output", output),))
    if output != "-" and destinations.problems:
        raise InputError(destinations.problems)
    found = converted(model.name, sizes(model.dims or ()), model.outputs or ())
    for each in found.left_out:
        tell(f"hint: {file}: left out or changed: {each}")
    if output == "-":
        emit(found.text)
    else:
        write_file(output, found.text)
