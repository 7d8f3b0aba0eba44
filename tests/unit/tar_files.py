"""Tar files for tests, made in memory."""

from __future__ import annotations

import io
import tarfile

#: A whole archive, as PaddleClas packs them.
WHOLE = {"B0_infer/inference.pdmodel": b"program", "B0_infer/inference.pdiparams": b"weights"}


def tar(members: dict[str, bytes | str], mode: str = "w") -> bytes:
    """A tar file of these members; a string makes a symbolic link to it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as made:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                made.addfile(member)
            else:
                member.size = len(content)
                made.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
