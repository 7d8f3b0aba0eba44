"""For Locust's own command: locust -f loadtest/locustfile.py --host HOST:PORT --model NAME --batch-size 8."""

from loadtest import gevent_first  # noqa: F401

# isort: split

import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import click
from locust import events

from loadtest.pictures import EXAMPLES, read_pictures
from loadtest.users import ClosedLoopUser
from loadtest.workload import DEFAULT_TIMEOUT_S, INPUTS, Workload
from tritonclas import Classifier, TritonClasError


class BatchUser(ClosedLoopUser):
    """The user whose workload the command line describes."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: Any) -> None:
    """The options that Locust doesn't have."""
    parser.add_argument("--model", required=True, help="The model's name on the server")
    parser.add_argument("--batch-size", type=_positive, default=1, help="Images a request")
    parser.add_argument("--images", default=str(EXAMPLES), help="Folder with the pictures to send")
    parser.add_argument(
        "--input", choices=INPUTS, default="encoded", help="Encoded files, or crops (pixels); -shm: by shared memory"
    )
    parser.add_argument("--request-timeout", type=float, default=DEFAULT_TIMEOUT_S, help="Seconds for a request")


@events.init.add_listener  # type: ignore[untyped-decorator]
def set_workload(environment: Any, **_: Any) -> None:
    """Give the users their workload; the process ends with one line if it makes no sense."""
    try:
        BatchUser.workload = _workload(environment.parsed_options)
    except (click.ClickException, TritonClasError) as error:
        sys.exit(f"Error: {error}")
    # A user that is killed within a request would report it as answered.
    environment.stop_timeout = max(environment.stop_timeout, BatchUser.workload.timeout_s)


def _workload(options: Any) -> Workload:
    workload = Workload(
        url=options.host or "",
        model=options.model,
        batch_size=options.batch_size,
        pictures=read_pictures(Path(options.images)).contents,
        input=options.input,
        timeout_s=options.request_timeout,
    )
    Classifier(workload.url, workload.model).close()  # refuses what can't be an endpoint
    return workload


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} isn't a number of at least 1")
    return int(text)
