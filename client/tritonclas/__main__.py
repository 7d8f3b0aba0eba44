"""`python -m tritonclas`, the same as the command `tritonclas`."""

from tritonclas.cli import main

if __name__ == "__main__":
    main(prog_name="tritonclas")
