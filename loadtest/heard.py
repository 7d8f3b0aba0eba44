"""What the SDK warns of while it makes load, such as that images don't go the way that was asked for."""

from __future__ import annotations

import logging


class Heard(logging.Handler):
    """Collects warnings of the SDK's logger, each once, while it is a context."""

    _LOGGER = logging.getLogger("tritonclas")

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a warning."""
        if (said := record.getMessage()) not in self.warnings:
            self.warnings.append(said)

    def __enter__(self) -> Heard:
        self._before = self._LOGGER.level, self._LOGGER.propagate
        self._LOGGER.setLevel(logging.WARNING)
        self._LOGGER.propagate = False  # whoever collects them also says them
        self._LOGGER.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._LOGGER.removeHandler(self)
        level, self._LOGGER.propagate = self._before
        self._LOGGER.setLevel(level)
