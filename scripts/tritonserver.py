"""The command line of tritonserver, the same for the embedded one and for the one in NVIDIA's image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.ports import LOOPBACK, Ports
from scripts.render import REPOSITORY

#: A container's engine must wait longer than this before it kills (deploy/).
EXIT_TIMEOUT_S = 30


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What is served, and where.

    `models` are loaded at the start, each with what it consists of, and no others until a client asks for them
    (model control mode `explicit`). `profile` chooses `configs/<profile>.pbtxt`. HTTP and metrics are at `address`
    unless they have their own. After SIGTERM requests under way may take `exit_timeout_s` seconds. `options` go to
    tritonserver as they are.
    """

    models: Sequence[str]
    repository: Path = REPOSITORY
    profile: str | None = None
    address: str = LOOPBACK
    http_address: str | None = None
    metrics_address: str | None = None
    ports: Ports = field(default_factory=Ports)
    exit_timeout_s: int = EXIT_TIMEOUT_S
    options: Sequence[str] = ()

    def command(self, program: Path, backends: Path) -> list[str]:
        """The program and its arguments."""
        return [
            str(program),
            f"--model-repository={self.repository}",
            f"--backend-directory={backends}",
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in self.models),
            *([f"--model-config-name={self.profile}"] if self.profile else []),
            f"--grpc-address={self.address}",
            f"--http-address={self.http_address or self.address}",
            f"--metrics-address={self.metrics_address or self.address}",
            f"--grpc-port={self.ports.grpc}",
            f"--http-port={self.ports.http}",
            f"--metrics-port={self.ports.metrics}",
            f"--exit-timeout-secs={self.exit_timeout_s}",
            "--disable-auto-complete-config",
            *self.options,
        ]
