"""Pictures made up for a load test: a mix of sizes, as bytes and pixels come in from users, from a fixed seed.

They are made of the repository's photographs: cropped, flipped, tinted, scaled, and given a sensor's grain, so that
a file has about as many bytes per pixel as files from users have. That, and the number of pixels, is what decoding
costs.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
import cv2
import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray
from PIL import Image

from loadtest.errors import LoadTestError
from loadtest.pictures import EXAMPLES, Pictures, size_class
from tritonclas.preprocess import Pixels, decode

#: Different photos in a sequence; further ones are these again.
MOST_PHOTOS = 4

EXAMPLE = "imagenet=80,thumbnail=15,photo=5"

_ORIENTATION = 0x0112
_TURN_CLOCKWISE = 6


@dataclass(frozen=True)
class _Kind:
    """How pictures of a kind are developed: the least and the most of what the seed decides."""

    sizes: str
    quality: tuple[int, int]
    grain: tuple[float, float]
    softened: bool = False


#: imagenet is what ILSVRC 2012 has: most often 500x375, and 147,897,477,120 bytes for 1,281,167 training pictures.
#: thumbnail is a gallery's or a search result's, photo a telephone's of 12 megapixels.
KINDS: Mapping[str, _Kind] = {
    "imagenet": _Kind("around 500×375", (94, 97), (6.0, 11.0)),  # noqa: RUF001
    "thumbnail": _Kind("160×120 to 256×192", (76, 87), (1.5, 4.5)),  # noqa: RUF001
    "photo": _Kind("4032×3024", (92, 95), (4.5, 8.0), softened=True),  # noqa: RUF001
}


def parse_mix(text: str) -> dict[str, float]:
    """Weights by kind, out of such as `imagenet=80,thumbnail=15,photo=5`, or of equal ones, `imagenet,photo`."""
    try:
        mix = _weights(text)
        _shares(mix)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}; give shares of {', '.join(KINDS)}, such as {EXAMPLE}") from None
    return mix


def generate(mix: Mapping[str, float], seed: int, count: int = 64) -> Pictures:
    """A sequence of pictures with the mix's shares in every stretch of it; the same seed makes the same bytes.

    LoadTestError for a share that is less than one picture.
    """
    shares = _shares(mix)
    order = _interleaved(shares, count)
    for kind in shares:
        if kind not in order:
            raise LoadTestError(f"of {count} pictures none would be a {kind}; give {kind} a larger share")
    sources = [decode(path.read_bytes()) for path in sorted(EXAMPLES.glob("*.jpg"))]
    made: dict[tuple[str, int], tuple[bytes, int]] = {}
    sequence = []
    numbers: Counter[str] = Counter()
    for kind in order:
        key = kind, numbers[kind] % MOST_PHOTOS if kind == "photo" else numbers[kind]
        numbers[kind] += 1
        if key not in made:
            made[key] = _picture(*key, seed, sources)
        sequence.append(made[key])
    contents, pixels = zip(*sequence, strict=True)
    kinds = ", ".join(f"{numbers[kind]} {kind} ({KINDS[kind].sizes})" for kind in shares)
    return Pictures(contents, tuple(map(size_class, pixels)), f"{count} generated: {kinds}, seed {seed}")


def _weights(text: str) -> dict[str, float]:
    """The kinds with what stands behind their equals sign, without one 1; ValueError for what can't be read."""
    parts = [part.partition("=") for part in text.split(",")]
    if len({sign for _, sign, _ in parts}) > 1:
        raise ValueError("either all kinds have a share or none")
    mix: dict[str, float] = {}
    for name, sign, weight in parts:
        if (kind := name.strip()) in mix:
            raise ValueError(f"{kind} is there twice")
        try:
            mix[kind] = float(weight) if sign else 1.0
        except ValueError:
            raise ValueError(f"{weight!r} is not a number") from None
    return mix


def _shares(mix: Mapping[str, float]) -> dict[str, float]:
    """The kinds that are in the mix, in the order of KINDS, with shares of 1; ValueError if it makes no sense."""
    for kind, weight in mix.items():
        if kind not in KINDS:
            raise ValueError(f"there is no kind {kind!r}")
        if not (weight >= 0 and math.isfinite(weight)):
            raise ValueError(f"{kind}'s share is {weight}")
    total = sum(mix.values())
    if not (total > 0 and math.isfinite(total)):
        raise ValueError(f"the shares make {total:g}")
    return {kind: mix[kind] / total for kind in KINDS if mix.get(kind)}


def _interleaved(shares: Mapping[str, float], count: int) -> list[str]:
    """Kinds, each time the one that is furthest behind its share."""
    order: list[str] = []
    given = dict.fromkeys(shares, 0)
    for length in range(1, count + 1):
        kind = max(shares, key=lambda kind: shares[kind] * length - given[kind])
        given[kind] += 1
        order.append(kind)
    return order


def _picture(kind: str, number: int, seed: int, sources: list[Pixels]) -> tuple[bytes, int]:
    """One picture's file and its pixels; it depends on nothing but its kind, its number and the seed."""
    random = Generator(PCG64([seed, list(KINDS).index(kind), number]))
    width, height = _SIZES[kind](random)
    turned = kind == "photo" and number % 2 == 1  # upright, as telephones write it: lying, with a note to turn it
    shown = (height, width) if turned else (width, height)
    image = _scene(sources[(number + seed) % len(sources)], shown, random)
    if turned:
        image = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)  # type: ignore[assignment]
    look = KINDS[kind]
    image = _grainy(image, random.uniform(*look.grain), look.softened, random)
    exif = Image.Exif()
    if turned:
        exif[_ORIENTATION] = _TURN_CLOCKWISE
    quality = int(random.integers(*look.quality, endpoint=True))
    file = io.BytesIO()
    options: dict[str, Any] = {"exif": exif} if turned else {}
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0", **options)
    return file.getvalue(), width * height


def _imagenet_size(random: Generator) -> tuple[int, int]:
    """Mostly 500x375; one in four is another size, and one in four upright."""
    long = 500 if random.random() < 0.75 else int(random.integers(320, 720, endpoint=True))
    short = round(long * random.choice([3 / 4, 2 / 3, 5 / 6, 1.0], p=[0.65, 0.2, 0.1, 0.05]))
    return (short, long) if random.random() < 0.25 else (long, short)


def _thumbnail_size(random: Generator) -> tuple[int, int]:
    """One in four is square, of the ones between upright as often as lying."""
    short = int(random.integers(120, 192, endpoint=True))
    long = short if random.random() < 0.25 else round(short * 4 / 3)
    return (short, long) if random.random() < 0.5 else (long, short)


def _photo_size(_random: Generator) -> tuple[int, int]:
    """What the sensor has."""
    return 4032, 3024


_SIZES = {"imagenet": _imagenet_size, "thumbnail": _thumbnail_size, "photo": _photo_size}


def _scene(source: Pixels, size: tuple[int, int], random: Generator) -> Pixels:
    """A part of a photograph, perhaps mirrored, in other light, scaled to width and height."""
    width, height = size
    scale = min(source.shape[1] / width, source.shape[0] / height) * random.uniform(0.75, 1.0)
    part = round(width * scale), round(height * scale)
    left = int(random.integers(0, source.shape[1] - part[0], endpoint=True))
    top = int(random.integers(0, source.shape[0] - part[1], endpoint=True))
    image = source[top : top + part[1], left : left + part[0]]
    if random.random() < 0.5:
        image = image[:, ::-1]
    levels = np.linspace(0, 1, 256)[:, None] ** random.uniform(0.8, 1.25) * random.uniform(0.85, 1.1)
    levels = levels * random.uniform(0.93, 1.07, 3)  # white balance
    table = np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8).reshape(1, 256, 3)
    image = cv2.LUT(np.ascontiguousarray(image), table)  # type: ignore[assignment]
    # Pillow computes with integers, and so the same on every processor; OpenCV doesn't.
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _grainy(image: Pixels, strength: float, softened: bool, random: Generator) -> Pixels:
    """With a sensor's noise, the same in all channels, of that standard deviation where the picture is half bright.

    `softened` is what a camera's own processing leaves of it.
    """
    height, width = image.shape[:2]
    noise = _soft_noise(height, width, random) if softened else random.standard_normal((height, width), np.float32)
    light = np.sqrt(np.arange(256, dtype=np.float32) / 128)  # a photon's noise grows with the light's root
    noise *= np.maximum(light, 0.3)[image[..., 1]] * np.float32(strength)
    grain = np.rint(noise).astype(np.int16)
    return cv2.add(image, cv2.merge([grain] * 3), dtype=cv2.CV_8U)  # type: ignore[return-value]


def _soft_noise(height: int, width: int, random: Generator) -> NDArray[np.float32]:
    """Normal noise smoothed over 3x3 pixels (by 1, 2, 1 each way), of standard deviation 1."""
    noise = random.standard_normal((height + 2, width + 2), np.float32)
    rows: NDArray[np.float32] = noise[:-2] + 2 * noise[1:-1] + noise[2:]
    both: NDArray[np.float32] = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    return both / np.float32(6)  # the root of (1 + 4 + 1) squared
