"""The names of rows, by which a comparison finds its bound, and how many clients ask in them."""

from __future__ import annotations

MODEL = "EfficientNetB0"
SIZE = (500, 375)
CLIENTS, CLIENTS_OF_BATCHES = 4, 2


def clients(batch: int) -> int:
    """That ask for batches of so many pictures."""
    return CLIENTS if batch == 1 else CLIENTS_OF_BATCHES


def pictures(name: str = MODEL, size: tuple[int, int] = SIZE) -> str:
    """Encoded pictures, to a model."""
    return f"{name}, JPEG {resolution(size)}"


def crops(name: str = MODEL) -> str:
    """Pixels, to a model's network."""
    return f"{name}_net, pixels"


def busy(what: str, batch: int) -> str:
    """As many as can be done."""
    return f"{what}, batch {batch}, {clients(batch)} clients"


def one_at_a_time(what: str) -> str:
    """By a single client."""
    return f"{what}, one at a time, median time"


def without_server(name: str, strategy: str = "") -> str:
    """The same done in one process, by this strategy; without one, what such names begin with."""
    return f"{name}: in one process without a server{f', {strategy}' * bool(strategy)}"


def resolution(size: tuple[int, int]) -> str:
    """Pixels, width and height."""
    return "x".join(map(str, size))
