"""Makes the report anew out of one or several results.json, such as those of a server's profiles."""

from __future__ import annotations

from pathlib import Path

import click

from loadtest.errors import LoadTestError
from loadtest.report import FILES, write_all
from loadtest.results import FILE, Results
from tritonclas.cli import example

EPILOG = example("python -m loadtest.report reports/t4-fp16/results.json reports/t4-fp32/results.json --out reports/t4")


@click.command(epilog=EPILOG)
@click.argument("results", nargs=-1, required=True, metavar="RESULTS.json...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for report.md and report.html.  [default: the folder of the one RESULTS.json]",
)
def main(results: tuple[Path, ...], out: Path | None) -> None:
    """Make the report anew, of one sweep, or of several side by side: each server profile is a column of its tables.

    RESULTS.json is what python -m loadtest.sweep wrote, or the folder that it is in. Where two of them measured the
    same, the later one on the command line is compared with the published figures.
    """
    files = [path / FILE if path.is_dir() else path for path in results]
    if out is None and len(set(files)) > 1:
        raise click.UsageError("of several sweeps, give --out a folder for their report")
    folder = out or files[0].parent
    every = [Results.read(path) for path in dict.fromkeys(files)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LoadTestError(f"{folder} can't be made ({error.strerror}); give --out another folder") from error
    write_all(every, folder)
    click.echo("\n".join(str(folder / name) for name in FILES))


if __name__ == "__main__":
    main()
