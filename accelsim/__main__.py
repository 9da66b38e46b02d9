"""`python -m accelsim` is `accelsim`."""

from accelsim.cli import main

if __name__ == "__main__":
    main()
