"""`accelsim`, also as `python -m accelsim`: whatever stops it, it ends with a word and a status."""

import sys


def main() -> None:
    """The entry point; it imports what takes time where Ctrl-C is already listened to."""
    try:
        from accelsim.stops import stops_held, stops_interrupt

        with stops_interrupt():
            with stops_held():  # an import may swallow what comes in its middle
                from accelsim.cli import main as command_line

            command_line()
    except KeyboardInterrupt:  # before the command line could tell, or after
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
