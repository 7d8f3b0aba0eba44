"""Certificates and keys, as files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import trustme

HERE = ("localhost", "127.0.0.1")


class Files:
    """What one authority, and a stranger, vouch for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority, self._stranger = trustme.CA(), trustme.CA()
        self.ca, self.other_ca = folder / "ca.pem", folder / "other-ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))
        self._stranger.cert_pem.write_to_path(str(self.other_ca))

    def pair(self, *names: str, foreign: bool = False, **dates: datetime) -> tuple[Path, Path]:
        """A certificate for these names, and its key."""
        authority = self._stranger if foreign else self._authority
        made = authority.issue_cert(*names, **dates)
        stem = f"{names[0]}-{len(list(self._folder.iterdir()))}"
        certificate, key = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        certificate.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        made.private_key_pem.write_to_path(str(key))
        return certificate, key
