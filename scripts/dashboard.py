"""The Grafana dashboard as a file, which deploy/grafana's provisioning puts into Grafana."""

from __future__ import annotations

from pathlib import Path

import click

from scripts.errors import ScriptError
from scripts.files import write_whole
from scripts.panels import ROWS
from tritonclas.cli import example

DASHBOARD = Path("deploy/grafana/dashboards/tritonclas.json")


def rendered() -> str:
    """The dashboard as JSON; ScriptError where Grafana's SDK isn't installed."""
    try:
        from scripts.grafana import dashboard_json  # noqa: PLC0415  nothing else needs Python 3.11
    except ImportError as error:
        raise ScriptError("Grafana's SDK isn't installed; make setup does it, on Python 3.11 or newer") from error
    return dashboard_json(ROWS)


@click.command(epilog=example("python -m scripts.dashboard --check"))
@click.option("--check", is_flag=True, help="Write nothing; fail where the file differs.")
def main(check: bool) -> None:
    """Write the Grafana dashboard of `scripts.panels` to deploy/grafana/dashboards/tritonclas.json."""
    text = rendered()
    if not check:
        write_whole(DASHBOARD, text)
    elif not DASHBOARD.is_file() or DASHBOARD.read_text(encoding="utf-8") != text:
        raise ScriptError(f"{DASHBOARD} isn't what the panels say; run python -m scripts.dashboard")


if __name__ == "__main__":
    main()
