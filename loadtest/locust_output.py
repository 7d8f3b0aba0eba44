"""Where a Locust run's figures are shown: on the console, in files, and in the web UI's tab Images."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from flask import Response, jsonify, request
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest import locust_identity
from loadtest.errors import LoadTestError
from loadtest.locust_figures import Figure, Figures
from loadtest.locust_options import check_model, choice, workload
from loadtest.pictures import check_folder
from tritonclas import TritonClasError

#: Columns: the figure's field, and its title.
COLUMNS = {
    "name": "model and batch",
    "requests": "requests",
    "images_per_s": "images/s",
    "requests_per_s": "requests/s",
    "p50_ms": "p50 ms",
    "p90_ms": "p90 ms",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "failures": "failures",
    "failure_kinds": "kinds of failures",
}

#: The tab's key in Locust's web UI.
_TAB = "images"

_RUNNING = ("spawning", "running")


def cells(figure: Figure, digits: int) -> dict[str, str]:
    """A row of text; empty where there is no value."""
    return {column: _text(getattr(figure, column), digits) for column in COLUMNS}


def _text(value: Any, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{kind} {count}" for kind, count in value.items())
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def show(figures: Sequence[Figure], *, on_stderr: bool) -> None:
    """Print them as a table; nothing if there are none."""
    if not figures:
        return
    table = Table(box=None, title="Images", title_justify="left")
    for column, title in COLUMNS.items():
        words = column in ("name", "failure_kinds")
        table.add_column(title, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for figure in figures:
        table.add_row(*map(Text, cells(figure, 2).values()))
    console = Console(stderr=on_stderr)
    if not console.is_terminal:
        console.width = max(console.width, 200)  # a file or a pipe wraps nothing
    console.print(table)


def as_csv(figures: Sequence[Figure]) -> str:
    """A header and a line a figure, with the figures' field names."""
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(cells(figure, 3) for figure in figures)
    return text.getvalue()


def write_csv(figures: Sequence[Figure], prefix: str) -> None:
    """Write PREFIX_batches.csv."""
    Path(f"{prefix}_batches.csv").write_text(as_csv(figures), newline="")


def extend_web_ui(environment: Any, figures: Figures) -> None:
    """Add the tab Images, its downloads, and refusals of what can't be run before a test starts."""
    web_ui, base = environment.web_ui, environment.parsed_options.web_base_path or ""
    web_ui.template_args |= {
        "extended_tabs": [{"title": "Images", "key": _TAB}],
        "extended_tables": [
            {"key": _TAB, "structure": [{"key": key, "title": title} for key, title in COLUMNS.items()]}
        ],
        "extended_csv_files": [
            {"href": f".{path}", "title": f"Download images {kind}"}
            for kind, path in (("CSV", "/images/csv"), ("JSON", "/images/json"))
        ],
    }

    def as_file(name: str, kind: str, text: Callable[[], str]) -> Callable[[], Response]:
        headers = {"Content-Disposition": f"attachment;filename={name}"}
        return lambda: Response(text(), mimetype=kind, headers=headers)

    routes = {
        "csv": as_file("images.csv", "text/csv", lambda: as_csv(figures.all())),
        "json": as_file("images.json", "application/json", lambda: as_json(figures.all())),
    }
    for name, view in routes.items():
        web_ui.app.add_url_rule(f"{base}/images/{name}", f"images_{name}", web_ui.auth_required_if_enabled(view))

    def add_figures(response: Response) -> Response:
        if request.path == f"{base}/stats/requests" and response.is_json:
            rows = [cells(figure, 2) for figure in figures.all()]
            report = {**response.get_json(), "extended_stats": [{"key": _TAB, "data": rows}]}
            response.set_data(json.dumps(report))
        return response

    refuse = web_ui.auth_required_if_enabled(partial(_refused, environment, environment.host))
    web_ui.app.after_request(add_figures)
    web_ui.app.before_request(lambda: refuse() if _swarms(f"{base}/swarm") else None)


def as_json(figures: Sequence[Figure]) -> str:
    """A list of objects, with the figures' field names."""
    return json.dumps([figure.as_dict() for figure in figures], indent=1)


def _swarms(path: str) -> bool:
    """Whether the form is sent, which starts a test or changes the one that runs."""
    return request.method == "POST" and request.path == path


def _refused(environment: Any, host: str | None) -> Response | None:
    """What Locust's form shows instead of starting a test; None if all is well as far as can be seen from here."""
    reason = locust_identity.refusal(environment.parsed_options, host, request.form)
    if reason is None and environment.runner.state not in _RUNNING:
        reason = _mistake(environment)
    return jsonify({"success": False, "message": reason, "host": environment.host}) if reason else None


def _mistake(environment: Any) -> str | None:
    options = environment.parsed_options
    try:
        found = choice(options, environment.host, request.form)
        if not options.master:
            workload(found)  # which is remembered until the test starts
        elif options.processes:
            check_model(found)
            check_folder(found.images)  # elsewhere only the workers need reach either, and they check
    except (LoadTestError, TritonClasError) as error:
        return str(error)
    return None
