"""Everything that may be given as an image becomes the same crop, and what isn't one is refused by name."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import pictures
from tests.pictures import encode, noise, picture
from tritonclas import images
from tritonclas.preprocess import BadImage, Preprocessing, decode

PREPROCESSING = Preprocessing(72, 64, "cubic")
CONTENT = encode(picture())


def sent_to_the_ensemble(source: Any) -> Any:
    return PREPROCESSING(images.encoded(source))


def cropped_by_the_client(source: Any) -> Any:
    return images.crop(source, PREPROCESSING)


MODES = pytest.mark.parametrize("cropped", [sent_to_the_ensemble, cropped_by_the_client])


class PathLike:
    """A path-like object that is nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __fspath__(self) -> str:
        return self._path


KINDS: dict[str, Callable[[Path], Any]] = {
    "str": str,
    "Path": lambda path: path,
    "os.PathLike": PathLike,
    "bytes": lambda path: CONTENT,
    "bytearray": lambda path: bytearray(CONTENT),
    "memoryview": lambda path: memoryview(CONTENT),
    "file": lambda path: path.open("rb"),
    "BytesIO": lambda path: io.BytesIO(CONTENT),
    "file, not at its start": lambda path: _after_prefix(),
    "PIL.Image": lambda path: picture(),
    "PIL.Image, not loaded yet": lambda path: Image.open(io.BytesIO(CONTENT)),
    "array": lambda path: np.asarray(picture()),
    "array, mirrored twice": lambda path: np.ascontiguousarray(np.asarray(picture())[:, :, ::-1])[:, :, ::-1],
    "array, every other pixel": lambda path: np.repeat(np.repeat(np.asarray(picture()), 2, 0), 2, 1)[::2, ::2],
}


def _after_prefix() -> io.BytesIO:
    stream = io.BytesIO(b"prefix" + CONTENT)
    stream.seek(6)
    return stream


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A picture on disk."""
    path = tmp_path / "picture.png"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def given(request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    """An image of the kind that the test is parametrised with."""
    source = request.param(path)
    yield source
    if isinstance(source, io.IOBase):
        source.close()


@MODES
@pytest.mark.parametrize("given", KINDS.values(), ids=KINDS, indirect=True)
def test_every_kind_of_image_gives_the_same_crop(given: Any, cropped: Callable[[Any], Any]) -> None:
    np.testing.assert_array_equal(cropped(given), PREPROCESSING(CONTENT))


FILES: dict[str, Callable[[], bytes]] = {
    **{mode: lambda mode=mode: encode(picture(mode=mode)) for mode in ("1", "L", "LA", "P", "RGBA")},
    "transparent palette": lambda: encode(picture(mode="P"), transparency=0),
    "16-bit PNG": pictures.sixteen_bit,
    "16-bit greyscale PNG": lambda: pictures.sixteen_bit(channels=1),
    "16-bit greyscale PGM": lambda: pictures.sixteen_bit(".pgm", channels=1),
    "WebP": lambda: encode(picture(), "WEBP"),
    **{f"EXIF orientation {number}": lambda number=number: pictures.oriented(number) for number in range(1, 9)},
}


@MODES
@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_pillow_image_is_the_picture_of_its_file(make: Callable[[], bytes], cropped: Callable[[Any], Any]) -> None:
    content = make()
    np.testing.assert_array_equal(cropped(Image.open(io.BytesIO(content))), PREPROCESSING(content))


@MODES
def test_nothing_of_the_caller_is_changed(cropped: Callable[[Any], Any]) -> None:
    array, turned = noise(40, 30), Image.open(io.BytesIO(pictures.oriented(6)))
    before = array.copy()
    cropped(array)
    cropped(turned)
    np.testing.assert_array_equal(array, before)
    assert (turned.size, turned.getexif()[pictures.ORIENTATION_TAG]) == ((97, 61), 6)


def test_pixels_are_sent_without_loss() -> None:
    np.testing.assert_array_equal(decode(images.encoded(noise(33, 21))), noise(33, 21))


def test_files_are_sent_as_they_are(path: Path) -> None:
    assert images.encoded(path) == CONTENT


def _closed(stream: Any) -> Any:
    stream.close()
    return stream


def _write_only(folder: Path) -> Any:
    (folder / "w").touch()
    return (folder / "w").open("wb")


def _text(folder: Path) -> Any:
    (folder / "text").write_text("text")
    return (folder / "text").open()


class Tensor:
    """What torch's tensors look like from outside."""

    shape, dtype = (3, 8, 8), "torch.uint8"


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "float array": (lambda folder: noise(8, 8) / 255, r"float64 \[8, 8, 3\]; it must be uint8"),
    "greyscale array": (lambda folder: noise(8, 8)[:, :, 0], r"uint8 \[8, 8\]"),
    "RGBA array": (lambda folder: noise(8, 8, 4), r"uint8 \[8, 8, 4\]"),
    "batch": (lambda folder: noise(8, 8)[None], r"uint8 \[1, 8, 8, 3\]"),
    "array without pixels": (lambda folder: noise(8, 8)[:0], r"uint8 \[0, 8, 3\]"),
    "tensor": (lambda folder: Tensor(), "a tests.unit.test_images.Tensor isn't an image; give a path"),
    "number": (lambda folder: 5, "builtins.int isn't an image"),
    "None": (lambda folder: None, "NoneType isn't an image"),
    "list of paths": (lambda folder: ["cat.jpg"], "builtins.list isn't an image"),
    "folder": (lambda folder: folder, "folder"),
    "empty path": (lambda folder: "", "folder"),
    "missing file": (lambda folder: folder / "missing.jpg", "no such file"),
    "file below a file": (lambda folder: Path(__file__) / "x.jpg", "Not a directory"),
    "path with a NUL": (lambda folder: "cat\0.jpg", "can't be read"),
    "file in text mode": (_text, "text mode.*'rb'"),
    "StringIO": (lambda folder: io.StringIO("text"), "text mode"),
    "closed file": (lambda folder: _closed(io.BytesIO(CONTENT)), "can't be read"),
    "file opened for writing": (_write_only, "can't be read"),
    "closed PIL.Image": (lambda folder: _closed(Image.open(io.BytesIO(CONTENT))), "can't be"),
    "truncated PIL.Image": (lambda folder: Image.open(io.BytesIO(CONTENT[:3000])), "can't be"),
    "PIL.Image without pixels": (lambda folder: Image.new("RGB", (0, 5)), "can't be"),
    "PIL.Image of floats": (lambda folder: picture(mode="F"), "mode F"),
}


@MODES
@pytest.mark.parametrize(("make", "why"), REFUSED.values(), ids=REFUSED)
def test_refused(make: Callable[[Path], Any], why: str, tmp_path: Path, cropped: Callable[[Any], Any]) -> None:
    source = make(tmp_path)
    closing = contextlib.closing(source) if isinstance(source, io.IOBase) else contextlib.nullcontext()
    with closing, pytest.raises(BadImage, match=why):
        cropped(source)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("photos/cat.jpg", "photos/cat.jpg"),
        (Path("photos/cat.jpg"), "photos/cat.jpg"),
        (b"...", "image 7"),
        (noise(2, 2), "image 7"),
        (picture(), "image 7"),
        (io.BytesIO(), "image 7"),
        (SimpleNamespace(read=bytes, name="upload.jpg"), "upload.jpg"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_names_in_messages(source: Any, name: str) -> None:
    assert images.describe(source, 7) == name
