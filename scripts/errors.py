"""What goes wrong in the commands, each a sentence that names the fault and what to do about it.

ScriptError                  printed by click as one line, exit status 1
├── ArchiveError             the weights: missing, damaged, or not the model that was asked for
├── ExportError              the archive couldn't be turned into ONNX
├── VerificationError        the ONNX file answers something else than Paddle
└── ServerError              a server can't run here, didn't come up, or ended by itself
"""

from __future__ import annotations

import click


class ScriptError(click.ClickException):
    """A fault that a user can understand and mend."""


class ArchiveError(ScriptError):
    """The weights are missing, damaged, or not those of the model."""


class ExportError(ScriptError):
    """The archive couldn't be turned into an ONNX file."""


class VerificationError(ScriptError):
    """The ONNX file doesn't answer what Paddle answers."""


class ServerError(ScriptError):
    """A server can't run on this machine, didn't come up, or ended by itself."""
