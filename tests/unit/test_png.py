"""Animated PNGs, whose damage would end the process if OpenCV saw that they are animated."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.pictures import encode, noise, picture
from tritonclas import preprocess
from tritonclas._png import without_animation


def animated(frames: int = 3) -> bytes:
    first, *others = (Image.fromarray(noise(97, 61 + number)[:61]) for number in range(frames))
    return encode(first, "PNG", save_all=True, append_images=others)


def test_the_first_picture_stays() -> None:
    first = np.asarray(Image.open(io.BytesIO(animated())))
    plain = without_animation(animated())
    assert not any(name in plain for name in (b"acTL", b"fcTL", b"fdAT"))
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(plain, np.uint8), 1)[:, :, ::-1], first)
    np.testing.assert_array_equal(preprocess.decode(animated()), first)


@pytest.mark.parametrize("content", [encode(picture()), encode(picture(), "JPEG"), b"", b"\x89PNG\r\n\x1a\n"])
def test_other_files_are_left_as_they_are(content: bytes) -> None:
    assert without_animation(content) is content


def test_pixels_that_look_like_a_chunk_stay() -> None:
    """The name of a chunk may occur in another one's content."""
    content = bytearray(encode(picture()))
    chunk = b"tEXtacTL and fcTL"
    content[33:33] = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    assert without_animation(bytes(content)) == bytes(content)


MUTATE = """
import random, sys
from tests.unit.test_png import animated
from tritonclas.preprocess import BadImage, decode
values = random.Random(int(sys.argv[1]))
whole = animated()
for _ in range(1500):
    content = bytearray(whole)
    for _ in range(values.randint(1, 8)):
        content[values.randrange(8, len(content))] = values.randrange(256)
    try:
        decode(bytes(content)[: values.choice([None, values.randrange(len(content))])])
    except BadImage:
        pass
print("alive")
"""


@pytest.mark.parametrize("seed", range(2))
def test_damage_ends_no_process(seed: int) -> None:
    done = subprocess.run([sys.executable, "-c", MUTATE, str(seed)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n")


def tiled(side: int) -> bytes:
    """A TIFF of 16x16 pixels with one tile of so many a side, which isn't even there."""
    values = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: 16}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    return b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + bytes(20)


def test_a_tiff_with_huge_tiles_is_refused_undecoded() -> None:
    assert preprocess.check_header(tiled(256)) == (16, 16)
    with pytest.raises(preprocess.BadImage, match="tiles of 268402689 pixels for a picture of 16x16"):
        preprocess.check_header(tiled(16383))
