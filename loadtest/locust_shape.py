"""A load shape as Locust asks for it."""

from __future__ import annotations

from typing import ClassVar

from locust import LoadTestShape

from loadtest.shape import Shape


class FileShape(LoadTestShape):  # type: ignore[misc]  # Locust publishes no types that mypy is told to follow
    """What Locust asks every second."""

    abstract: ClassVar[bool] = True  # so that Locust doesn't take it for the shape of every test

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._shape = shape

    def tick(self) -> tuple[int, float] | None:
        """The users that there should be now."""
        return self._shape.at(self.get_run_time())
