"""Reading a model's configuration, as Triton does."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from scripts.errors import ScriptError


def read_config(path: Path) -> pb.ModelConfig:
    """A model configuration; ScriptError if it isn't one."""
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ScriptError(f"{path} isn't a model configuration: {error}") from error
