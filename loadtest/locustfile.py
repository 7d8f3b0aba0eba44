"""For Locust's own command: locust -f loadtest/locustfile.py --host HOST:PORT --model NAME --batch-size 8.

docs/loadtest_locust.md says how people use it.
"""

from loadtest import gevent_first  # noqa: F401

# isort: split

import logging
import sys
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.runners import MasterRunner, WorkerRunner

from loadtest import locust_options, locust_output, locust_shape, shape
from loadtest.errors import LoadTestError
from loadtest.locust_control import Control, has_master_here
from loadtest.locust_figures import Figures
from loadtest.locust_users import Users
from loadtest.users import ClosedLoopUser
from tritonclas import TritonClasError

#: How often the file of --csv is written, besides at the end.
_CSV_S = 5.0

events.init_command_line_parser.add_listener(locust_options.add_options)


class BatchUser(ClosedLoopUser):
    """Holds the place of the users, whose class is made when a test starts: only then is it known what they send."""


@events.init.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Any, **_: Any) -> None:
    """Make this process ready; without a web UI, a mistake in the options ends it with one line."""
    options, runner = environment.parsed_options, environment.runner
    figures, users, control = Figures(), Users(), Control(environment)
    figures.attach(environment)
    if isinstance(runner, WorkerRunner):
        if has_master_here(options):
            options.json = False  # the master prints it; several on one stdout aren't JSON
    else:
        try:
            _set_shape(environment)
            if options.headless or options.autostart:
                _check(environment)
        except (LoadTestError, TritonClasError) as error:
            control.dismiss_workers()
            sys.exit(f"Error: {error}")
        if environment.web_ui:
            locust_output.extend_web_ui(environment, figures)
        _show(environment, figures)
    environment.events.test_start.add_listener(lambda **_: _start(environment, control, users))


def _set_shape(environment: Any) -> None:
    options = environment.parsed_options
    if not options.shape:
        return
    environment.shape_class = locust_shape.FileShape(shape.read(Path(options.shape)))
    environment.shape_class.runner = environment.runner
    if options.num_users or options.spawn_rate or options.run_time:
        logging.getLogger("loadtest").warning("--users, --spawn-rate and --run-time have no effect with --shape")


def _check(environment: Any) -> None:
    """LoadTestError or TritonClasError if the options make no sense, as far as can be seen from here."""
    found = locust_options.choice(environment.parsed_options, environment.host)
    if not isinstance(environment.runner, MasterRunner):
        locust_options.workload(found)
    elif environment.parsed_options.processes:
        locust_options.check_model(found)


def _start(environment: Any, control: Control, users: Users) -> None:
    """A test begins: make the users what the options say now, which the web UI can have changed."""
    options, runner = environment.parsed_options, environment.runner
    try:
        found = locust_options.choice(options, environment.host)
        # A user that is killed within a request would report it as answered.
        environment.stop_timeout = max(float(options.stop_timeout or 0), found.timeout_s + 1)
        if isinstance(runner, MasterRunner):
            return
        made = users.of(locust_options.workload(found), found.load, max(runner.worker_index, 0))
    except Exception as error:  # noqa: BLE001  whatever it is, Locust would log it and go on with other users
        known = isinstance(error, (LoadTestError, TritonClasError))
        control.refuse(str(error) if known else f"{type(error).__name__}: {error}")
        made = users.refused()
    environment.user_classes = [made]


def _show(environment: Any, figures: Figures) -> None:
    """The figures on the console at the end, and in a file from time to time if there is to be one."""
    options = environment.parsed_options

    def write() -> None:
        if options.csv_prefix:
            locust_output.write_csv(figures.all(), options.csv_prefix)

    def write_always() -> None:
        while True:
            gevent.sleep(_CSV_S)
            write()

    def end(**_: Any) -> None:
        write()
        locust_output.show(figures.all(), on_stderr=options.json)

    if options.csv_prefix:
        gevent.spawn(write_always)
    environment.events.quit.add_listener(end)
