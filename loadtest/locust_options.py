"""What Locust's users are to send: options of the command line that the web UI can change, and what is made of them."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import gevent

from loadtest import locust_identity
from loadtest.crops import crops, preprocessing_of
from loadtest.errors import LoadTestError
from loadtest.load import ARRIVALS, Arrivals, Load
from loadtest.pictures import EXAMPLES, Pictures, read_pictures
from loadtest.subjects import check_ready
from loadtest.workload import DEFAULT_TIMEOUT_S, INPUTS, Image, Input, Workload
from tritonclas import Classifier, ModelServer, Tls
from tritonclas.preprocess import Preprocessing

#: The options that the web UI's form has, by the names that its fields have.
FIELDS = ("model", "batch_size", "input", "images", "request_timeout", "rate", "arrivals")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the options say, once it makes sense. A `rate_per_s` of 0 means a closed loop."""

    url: str
    model: str
    batch_size: int
    input: Input
    images: Path
    timeout_s: float
    rate_per_s: float
    arrivals: Arrivals
    tls: Tls | None
    headers: Mapping[str, str] = field(repr=False)

    @property
    def load(self) -> Load:
        """What one user does."""
        if not self.rate_per_s:
            return Load(users=1)
        return Load(rate_per_s=self.rate_per_s, arrivals=self.arrivals)


def add_options(parser: Any) -> None:
    """The options that Locust doesn't have; each can be given as an environment variable, too."""

    def add(option: str, **more: Any) -> None:
        parser.add_argument(option, env_var=f"LOCUST_{option.strip('-').replace('-', '_').upper()}", **more)

    add("--model", default="", is_required=True, help="The model's name on the server")
    add("--batch-size", type=_positive, default=1, is_required=True, help="Images a request")
    add("--input", choices=INPUTS, default="encoded", help="Encoded files, or crops (pixels); -shm: by shared memory")
    add("--images", default=str(EXAMPLES), is_required=True, help="Folder with the pictures to send")
    add("--request-timeout", type=float, default=DEFAULT_TIMEOUT_S, is_required=True, help="Seconds for a request")
    add("--rate", type=float, default=0.0, help="Requests a second of each user, answered or not; 0: one at a time")
    add("--arrivals", choices=ARRIVALS, default="constant", help="How a rate's requests are spread over time")
    add("--shape", metavar="FILE", include_in_web_ui=False, help="TOML file that says how many users there are when")
    locust_identity.add_options(add)


def choice(options: Namespace, host: str | None, form: Mapping[str, str] | None = None) -> Choice:
    """The options as `form` changes them, which is the web UI's; LoadTestError if they make no sense."""
    said = {name: getattr(options, name) for name in FIELDS}
    for name in FIELDS:
        if form and name in form:
            said[name] = _converted(name, form[name], type(said[name]))
    found = Choice(
        url=(form or {}).get("host") or host or "",
        model=said["model"],
        batch_size=said["batch_size"],
        input=said["input"],
        images=Path(said["images"]),
        timeout_s=said["request_timeout"],
        rate_per_s=said["rate"],
        arrivals=said["arrivals"],
        tls=locust_identity.tls(options),
        headers=locust_identity.headers(options),
    )
    _check(found)
    return found


def _converted(name: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise LoadTestError(f"{_option(name)}: {text!r} isn't a number") from None


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _check(found: Choice) -> None:
    wrong = {
        "--model: give it the name of a model on the server": not found.model,
        f"--batch-size: {found.batch_size} isn't a number of at least 1": found.batch_size < 1,
        f"--input: {found.input!r} isn't one of {', '.join(INPUTS)}": found.input not in INPUTS,
        f"--arrivals: {found.arrivals!r} isn't one of {', '.join(ARRIVALS)}": found.arrivals not in ARRIVALS,
        f"--request-timeout: {found.timeout_s:g} isn't a number of seconds": not 0 < found.timeout_s < float("inf"),
        f"--rate: {found.rate_per_s:g} isn't a rate": not isfinite(found.rate_per_s) or found.rate_per_s < 0,
    }
    if reasons := [reason for reason, applies in wrong.items() if applies]:
        raise LoadTestError(reasons[0])
    _classifier(found).close()  # refuses what can't be an endpoint, or identifies nobody


def check_model(found: Choice) -> None:
    """Ask the server for the model; LoadTestError or TritonClasError if it can't take these batches."""
    with _server(found) as server:
        check_ready(server, [found.model])
    with _classifier(found) as classifier:
        if found.batch_size > (most := classifier.max_batch_size()):
            raise LoadTestError(f"{found.model} takes at most {most} images a request; --batch-size is too large")


def workload(found: Choice) -> Workload:
    """What the users send: reads the pictures, crops them if need be, and asks the server for the model."""
    pictures = _pictures(found.images)
    check_model(found)
    contents: tuple[Image, ...] = pictures.contents
    if found.input.startswith("pixels"):
        with _server(found) as server:
            contents = _crops(found.images, preprocessing_of(server, found.model))
    return Workload(
        found.url,
        found.model,
        found.batch_size,
        contents,
        found.input,
        found.timeout_s,
        tls=found.tls,
        headers=found.headers,
    )


def _server(found: Choice) -> ModelServer:
    return ModelServer(found.url, tls=found.tls, headers=found.headers)


def _classifier(found: Choice) -> Classifier:
    return Classifier(found.url, found.model, tls=found.tls, headers=found.headers)


def _let_others_run() -> None:
    """Such as a worker's word to its master that it lives, without which it is given up after four seconds."""
    gevent.sleep(0)


@lru_cache(maxsize=1)
def _pictures(folder: Path) -> Pictures:
    return read_pictures(folder, tick=_let_others_run)


@lru_cache(maxsize=1)
def _crops(folder: Path, preprocessing: Preprocessing) -> tuple[Image, ...]:
    return crops(_pictures(folder), preprocessing, tick=_let_others_run)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} isn't a number of at least 1")
    return int(text)
