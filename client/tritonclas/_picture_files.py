"""Which files a command means that was given paths: the files themselves, and the pictures in folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

import click

#: Endings by which files in a folder are taken for pictures; a file that is named is one whatever it ends with.
SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".ras", ".gif", ".avif", ".heic", ".heif"),
)


class Pictures:
    """The files, folder by folder in the order of their names, each time that they are iterated over.

    Links to folders are not followed, so that there is an end. Folders that can't be read are named on stderr.
    """

    def __init__(self, paths: Sequence[str], recursive: bool) -> None:
        self._paths = paths
        self._recursive = recursive
        self.unreadable: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        for path in self._paths:
            if os.path.isdir(path):  # noqa: PTH112  strings, as they were given: there may be a million
                yield from self._within(path)
            else:
                yield path

    def _within(self, path: str) -> Iterator[str]:
        for folder, folders, files in os.walk(path, onerror=self._tell):
            folders[:] = sorted(folders) if self._recursive else []
            yield from (os.path.join(folder, name) for name in sorted(files) if name.lower().endswith(SUFFIXES))  # noqa: PTH118

    def _tell(self, error: OSError) -> None:
        if error.filename not in self.unreadable:
            self.unreadable.add(error.filename)
            click.echo(f"Error: {error.filename} can't be read ({error.strerror})", err=True)
