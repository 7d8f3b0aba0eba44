"""Crops that the caller has made are taken as they are; whatever else is given in their place is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pictures import encode, noise, picture
from tritonclas import images
from tritonclas.preprocess import BadImage

SIDE = 64
WANTED = "preprocess='none' takes uint8 [64, 64, 3]"


def test_a_crop_is_not_copied() -> None:
    crop = noise(SIDE, SIDE)
    assert images.crop_as_it_is(crop, SIDE) is crop
    assert images.is_taken_without_a_copy(crop)


def test_one_of_a_batch_isnt_either() -> None:
    batch = np.stack([noise(SIDE, SIDE)] * 3)
    assert all(np.shares_memory(images.crop_as_it_is(crop, SIDE), batch) for crop in batch)


def test_a_crop_may_be_read_only(tmp_path: Path) -> None:
    np.save(tmp_path / "crop.npy", noise(SIDE, SIDE))
    crop = np.load(tmp_path / "crop.npy", mmap_mode="r")
    assert b"".join([images.crop_as_it_is(crop, SIDE)]) == noise(SIDE, SIDE).tobytes()


@pytest.mark.parametrize(
    "crop",
    [noise(SIDE, SIDE)[::-1], noise(80, 90)[8 : 8 + SIDE, 13 : 13 + SIDE], noise(SIDE, SIDE)[:, :, ::-1]],
    ids=["upside down", "out of a picture", "BGR as RGB"],
)
def test_a_view_is_made_contiguous(crop: Any) -> None:
    made = images.crop_as_it_is(crop, SIDE)
    np.testing.assert_array_equal(made, crop)
    assert made.flags.c_contiguous
    assert not images.is_taken_without_a_copy(crop)


ARRAYS = {
    "another size": (noise(100, 100), f"the array is uint8 [100, 100, 3]; {WANTED}"),
    "not square": (noise(65, SIDE), f"the array is uint8 [64, 65, 3]; {WANTED}"),
    "floats": (noise(SIDE, SIDE) / 255, f"the array is float64 [64, 64, 3]; {WANTED}: (pixels * 255).round()"),
    "int8": (noise(SIDE, SIDE).astype(np.int8), f"the array is int8 [64, 64, 3]; {WANTED}: scaled to 0..255"),
    "channels first": (noise(SIDE, SIDE).transpose(2, 0, 1), f"[3, 64, 64]; {WANTED}: .transpose(1, 2, 0)"),
    "grey": (noise(SIDE, SIDE)[:, :, 0], f"the array is uint8 [64, 64]; {WANTED}: [..., None].repeat(3, 2)"),
    "with alpha": (noise(SIDE, SIDE, 4), f"the array is uint8 [64, 64, 4]; {WANTED}: [..., :3]"),
    "batch": (noise(SIDE, SIDE)[None], f"the array is uint8 [1, 64, 64, 3]; {WANTED}: it is a batch"),
    "nothing": (noise(SIDE, SIDE)[:0], f"the array is uint8 [0, 64, 3]; {WANTED}"),
    "a number": (np.array(5, np.uint8), f"the array is uint8 []; {WANTED}"),
}
OTHERS = {
    "path": ("cat.jpg", "builtins.str"),
    "Path": (Path("cat.jpg"), "PosixPath"),
    "bytes": (encode(picture()), "builtins.bytes"),
    "file": (io.BytesIO(encode(picture())), "_io.BytesIO"),
    "PIL.Image": (picture(SIDE, SIDE), "PIL.Image.Image"),
    "list": (noise(SIDE, SIDE).tolist(), "builtins.list"),
    "None": (None, "builtins.NoneType"),
}


@pytest.mark.parametrize(("array", "why"), ARRAYS.values(), ids=ARRAYS)
def test_other_arrays_are_refused(array: Any, why: str) -> None:
    with pytest.raises(BadImage) as caught:
        images.crop_as_it_is(array, SIDE)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("source", "kind"), OTHERS.values(), ids=OTHERS)
def test_what_is_no_array_is_refused(source: Any, kind: str) -> None:
    with pytest.raises(BadImage) as caught:
        images.crop_as_it_is(source, SIDE)
    assert str(caught.value).endswith(
        f"{kind} isn't an array; {WANTED}, and 'client' or 'server' what isn't cropped yet"
    )
    assert images.is_taken_without_a_copy(source)


@pytest.mark.parametrize(
    ("home", "shape", "advice"),
    [
        ("torch", (SIDE, SIDE, 3), "tensor.cpu().numpy()"),
        ("torch", (3, SIDE, SIDE), "tensor.cpu().numpy(): .transpose(1, 2, 0), channels last"),
        ("cupy", (SIDE, SIDE, 3), "array.get()"),
    ],
)
def test_tensors_are_refused_with_the_way_to_an_array(home: str, shape: tuple[int, ...], advice: str) -> None:
    tensor: Any = type("Tensor", (), {"__module__": home, "shape": shape, "dtype": "torch.uint8"})()
    with pytest.raises(BadImage) as caught:
        images.crop_as_it_is(tensor, SIDE)
    assert str(caught.value) == f"a {home}.Tensor isn't an array; {WANTED}: {advice}"
