"""What holds for every command: failures as messages and exit statuses, the version, the help."""

import os
import sys
from traceback import format_exc
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from accelsim.errors import AccelsimError, SimulationError, TryAgainError, reason
from accelsim.files import together
from accelsim.report.tell import tell

CHECK_FAILED, BAD_INPUT, BUG, TRY_AGAIN, INTERRUPTED, READER_GONE = 1, 2, 70, 75, 130, 141


class Commands(TyperGroup):
    """The commands, with failures as messages and exit statuses instead of tracebacks."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the command line; typer, which imports as it does so, would stop without a word."""
        try:
            return super().make_context(*args, **kwargs)
        except KeyboardInterrupt:
            _interrupted()

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the context names; all that it writes is whole, or none of it is."""
        try:
            with together(typer.Exit):
                return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # pydantic's, by typer
            raise
        except SimulationError as error:
            _complain("internal error", error)
            _ask_for_a_report()
            raise typer.Exit(BUG) from None
        except TryAgainError as error:
            _complain("error", error)
            raise typer.Exit(TRY_AGAIN) from None
        except AccelsimError as error:
            _complain("error", error)
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            _interrupted()
        except BrokenPipeError:
            # The interpreter must not flush what is still buffered on its way out.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(READER_GONE) from None
        except (OSError, MemoryError) as error:  # no descriptor left, no place for semaphores
            why = reason(error) if isinstance(error, OSError) else "there is not enough memory"
            tell(f"error: the system does not let this go on: {why}")
            raise typer.Exit(TRY_AGAIN) from None
        except (
            ArithmeticError,
            AssertionError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ):
            for line in format_exc().splitlines():
                tell(line)
            _ask_for_a_report()
            raise typer.Exit(BUG) from None


def _interrupted() -> NoReturn:
    tell("interrupted")
    raise typer.Exit(INTERRUPTED) from None


def _ask_for_a_report() -> None:
    tell(
        f"This is a bug in accelsim {_version()}, not in your files. Please report it with "
        "this command, the files it names and the lines above."
    )


def _complain(prefix: str, error: AccelsimError) -> None:
    for line in str(error).split("\n"):
        tell(f"{prefix}: {line}")


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version() -> str:
    from accelsim import __version__

    return __version__


@app.callback(invoke_without_command=True)
def accelsim(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Say the version.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --version: of everything that results rest on.")
    ] = False,
) -> None:
    """Simulate neural networks on AI accelerators: cycles, utilization, traffic, exact values.

    Try `accelsim list`, then `accelsim compare vgg16 googlenet --hardware edge_npu`.

    Exit status: 0 fine, 1 a check failed, 2 the input is wrong.
    """
    if version:
        from accelsim.cli.output import emit
        from accelsim.report.versions import versions_text

        emit(versions_text() if verbose else f"accelsim {_version()}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        context.fail("Missing command.")
