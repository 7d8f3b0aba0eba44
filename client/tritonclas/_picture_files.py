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

    Links to folders are not followed, so that there is an end. Folders that can't be read, or that hold no picture, are
    named on stderr, once each.
    """

    def __init__(self, paths: Sequence[str], recursive: bool) -> None:
        self._paths = paths
        self._recursive = recursive
        self.faults: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        for path in self._paths:
            if os.path.isdir(path):  # noqa: PTH112  strings, as they were given: there may be a million
                yield from self._within(path)
            else:
                yield path

    def _within(self, path: str) -> Iterator[str]:
        empty = True
        for picture in self._walked(path):
            empty = False
            yield picture
        if empty:
            hint = "" if self._recursive else "; --recursive looks into its folders too"
            self._tell(f"there are no pictures in {path}{hint}")

    def _walked(self, path: str) -> Iterator[str]:
        for folder, folders, files in os.walk(path, onerror=self._tell_unreadable):
            folders[:] = sorted(folders) if self._recursive else []
            for name in sorted(files):
                picture = os.path.join(folder, name)  # noqa: PTH118
                if name.lower().endswith(SUFFIXES) and os.path.isfile(picture):  # noqa: PTH113
                    yield picture

    def _tell_unreadable(self, error: OSError) -> None:
        self._tell(f"{error.filename} can't be read ({error.strerror})")

    def _tell(self, fault: str) -> None:
        if fault not in self.faults:
            self.faults.add(fault)
            click.echo(f"Error: {fault}", err=True)
