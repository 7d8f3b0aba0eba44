"""What a load test sends: a folder's pictures, a generated mix of sizes, and crops."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from hashlib import sha256
from statistics import mean

import click
import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from loadtest.crops import crops, preprocessing_of
from loadtest.errors import LoadTestError
from loadtest.mix import KINDS, MOST_PHOTOS, generate, parse_mix
from loadtest.pictures import EXAMPLES, SIZE_CLASSES, Pictures, read_pictures, size_class
from tests.pictures import ORIENTATION_TAG, encode, picture
from tritonclas.preprocess import Preprocessing, check_header

PICTURE = encode(picture(8, 8))
LARGER = encode(picture(16, 16))
PREPROCESSING = Preprocessing(36, 32, "cubic")

EVERYDAY = {"imagenet": 80, "thumbnail": 15, "photo": 5}


@cache
def generated(kind: str) -> Pictures:
    """Pictures of one kind; of photos, which take longest, one more than there are different ones."""
    return generate({kind: 1}, 0, MOST_PHOTOS + 1 if kind == "photo" else 24)


@cache
def everyday() -> Pictures:
    return generate(EVERYDAY, 0)


def classes(pictures: Pictures) -> list[str]:
    return [SIZE_CLASSES[size] for size in pictures.sizes]


# A folder's pictures.


def test_pictures_are_read_in_the_order_of_their_paths_and_other_files_passed_over(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "z.png").write_bytes(LARGER)
    (tmp_path / "c.png").write_bytes(PICTURE)
    (tmp_path / "a.txt").write_text("no picture")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "gone.png").symlink_to("nowhere")

    assert read_pictures(tmp_path).contents == (LARGER, PICTURE)


def test_pictures_beyond_the_limit_are_left_out(tmp_path):
    (tmp_path / "a.png").write_bytes(PICTURE)
    (tmp_path / "b.png").write_bytes(LARGER)
    (tmp_path / "c.png").write_bytes(PICTURE)
    (tmp_path / "d.png").write_bytes(PICTURE)

    assert read_pictures(tmp_path, most_bytes=2 * len(PICTURE)).contents == (PICTURE, PICTURE)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(LoadTestError, match="holds no picture that can be read; give --images a folder"):
        read_pictures(tmp_path)
    with pytest.raises(LoadTestError, match="nowhere is not a folder; give --images"):
        read_pictures(tmp_path / "nowhere")


def test_the_repositorys_own_pictures_are_there(examples):
    pictures = read_pictures(EXAMPLES)

    assert pictures.contents == tuple(path.read_bytes() for path in examples.values())
    assert classes(pictures) == ["up to 0.5 MP"] * 3
    assert pictures.description == "3 pictures of examples (0.14–0.27 MP)"  # noqa: RUF001


def test_damaged_pictures_are_left_out_and_counted(tmp_path, examples):
    whole = examples["cat"].read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cut.png").write_bytes(LARGER[: len(LARGER) // 2])
    (tmp_path / "whole.jpg").write_bytes(whole)

    pictures = read_pictures(tmp_path)

    assert pictures.contents == (whole,)
    assert pictures.description == f"1 picture of {tmp_path.name} (0.14 MP), 2 damaged left out"


def test_a_single_picture_is_described(tmp_path):
    (tmp_path / "large.png").write_bytes(encode(Image.new("L", (1200, 1000))))
    assert read_pictures(tmp_path).description == f"1 picture of {tmp_path.name} (1.2 MP)"


def test_a_folder_named_by_a_dot_is_described_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "small.png").write_bytes(PICTURE)
    (tmp_path / "large.png").write_bytes(encode(Image.new("L", (4000, 3000))))
    monkeypatch.chdir(tmp_path)

    pictures = read_pictures(tmp_path.relative_to(tmp_path))

    assert pictures.description == f"2 pictures of {tmp_path.name} (0.001–12 MP)"  # noqa: RUF001
    assert classes(pictures) == ["above 8 MP", "up to 0.05 MP"]


@pytest.mark.parametrize(
    ("pixels", "name"),
    [
        (1, "up to 0.05 MP"),
        (50_000, "up to 0.05 MP"),
        (50_001, "up to 0.5 MP"),
        (2_000_000, "up to 2 MP"),
        (8_000_000, "up to 8 MP"),
        (8_000_001, "above 8 MP"),
    ],
)
def test_sizes_have_classes(pixels, name):
    assert SIZE_CLASSES[size_class(pixels)] == name


# A generated mix.


@pytest.mark.parametrize("kind", ["imagenet", "thumbnail"])
def test_the_seed_alone_decides_what_is_generated(kind):
    again, other = generate({kind: 1}, 0, 24), generate({kind: 1}, 1, 24)

    assert again == generated(kind)
    assert len({*again.contents, *other.contents}) == 48


def test_photos_are_the_same_for_the_same_seed_and_in_any_mix():
    photo = generated("photo").contents[0]

    assert photo in everyday().contents
    assert generate({"photo": 1}, 1, 1).contents[0] != photo


def test_processors_with_fewer_instructions_make_the_same_bytes(root):
    program = (
        "from hashlib import sha256; from loadtest.mix import generate\n"
        "for kind in ('imagenet', 'photo'): print(sha256(generate({kind: 1}, 0, 1).contents[0]).hexdigest())"
    )
    older = {"OPENCV_CPU_DISABLE": "AVX,FMA3,AVX2,AVX512_SKX,AVX512_ICL", "OPENCV_IPP": "disabled"}

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=os.environ | older, capture_output=True, text=True, check=True
    )

    here = [generated(kind).contents[0] for kind in ("imagenet", "photo")]
    assert done.stdout.split() == [sha256(content).hexdigest() for content in here]


@pytest.mark.parametrize(
    ("kind", "least", "most", "size"),
    [
        ("imagenet", 95_000, 125_000, "up to 0.5 MP"),
        ("thumbnail", 5_000, 10_000, "up to 0.05 MP"),
        ("photo", 2_500_000, 5_000_000, "above 8 MP"),
    ],
)
def test_files_are_as_large_as_those_from_users(kind, least, most, size):
    pictures = generated(kind)

    assert least < mean(map(len, pictures.contents)) < most
    assert set(classes(pictures)) == {size}


def test_imagenets_pictures_are_mostly_500_wide_and_some_upright():
    sizes = [check_header(content) for content in generated("imagenet").contents]

    assert Counter(max(size) for size in sizes)[500] > len(sizes) / 2
    assert 0 < sum(height > width for width, height in sizes) < len(sizes) / 2
    assert len(set(sizes)) > 5


def test_thumbnails_are_small():
    for content in generated("thumbnail").contents:
        width, height = check_header(content)
        assert 120 <= min(width, height) <= 192
        assert max(width, height) <= 256


def test_photos_are_few_and_every_other_one_was_taken_upright():
    contents = generated("photo").contents

    assert {check_header(content) for content in contents} == {(4032, 3024)}
    assert len(set(contents)) == MOST_PHOTOS
    assert contents[0] == contents[MOST_PHOTOS]
    turns = [Image.open(io.BytesIO(content)).getexif().get(ORIENTATION_TAG) for content in contents]
    assert turns == [None, 6, None, 6, None]


@pytest.mark.parametrize("kind", KINDS)
def test_colour_is_stored_at_half_the_resolution(kind):
    content = generated(kind).contents[0]

    assert JpegImagePlugin.get_sampling(Image.open(io.BytesIO(content))) == 2  # 4:2:0


def test_every_stretch_has_the_mixs_shares():
    pictures = everyday()
    names = classes(pictures)

    assert len(pictures.contents) == len(names) == 64
    assert Counter(names) == {"up to 0.5 MP": 51, "up to 0.05 MP": 10, "above 8 MP": 3}
    stretches = [Counter(names[first : first + 20]) for first in range(45)]  # 16 : 3 : 1
    assert {stretch["up to 0.5 MP"] for stretch in stretches} <= {15, 16, 17}
    assert {stretch["up to 0.05 MP"] for stretch in stretches} <= {2, 3, 4}
    assert {stretch["above 8 MP"] for stretch in stretches} <= {0, 1, 2}


def test_a_mix_is_described():
    assert everyday().description == (
        "64 generated: 51 imagenet (around 500×375), 10 thumbnail (160×120 to 256×192), "  # noqa: RUF001
        "3 photo (4032×3024), seed 0"  # noqa: RUF001
    )


def test_a_kind_that_would_get_no_picture_is_refused():
    with pytest.raises(LoadTestError, match="of 64 pictures none would be a photo; give photo a larger share"):
        generate({"imagenet": 999, "photo": 1}, 0)


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("imagenet=80,thumbnail=15,photo=5", EVERYDAY),
        (" photo = 0.5, thumbnail=0", {"photo": 0.5, "thumbnail": 0}),
        ("thumbnail", {"thumbnail": 1}),
        ("photo,imagenet", {"photo": 1, "imagenet": 1}),
    ],
)
def test_a_mix_is_read(text, mix):
    assert parse_mix(text) == mix


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is no kind ''"),
        ("poster=1", "there is no kind 'poster'"),
        ("imagenet,", "there is no kind ''"),
        ("imagenet=-1,photo=2", "imagenet's share is -1.0"),
        ("imagenet=nan", "imagenet's share is nan"),
        ("imagenet=inf", "imagenet's share is inf"),
        ("imagenet=1e308,photo=1e308", "the shares make inf"),
        ("imagenet=0,photo=0", "the shares make 0"),
        ("photo=1,photo=2", "photo is there twice"),
        ("photo=1,imagenet", "either all kinds have a share or none"),
        ("photo=", "'' is not a number"),
        ("photo=1=2", "'1=2' is not a number"),
        ("photo\n=x", "'x' is not a number"),
    ],
)
def test_a_mix_that_makes_no_sense_is_explained_in_one_line(text, reason):
    with pytest.raises(click.BadParameter) as raised:
        parse_mix(text)

    assert raised.value.message == (
        f"{text!r}: {reason}; give shares of imagenet, thumbnail, photo, such as imagenet=80,thumbnail=15,photo=5"
    )


# Crops.


class Server:
    """As much of a ModelServer as is asked for."""

    def __init__(self, steps: tuple[str, ...], **parameters: str) -> None:
        values = {key: {"string_value": value} for key, value in parameters.items()}
        self._configs = {
            "Net": {"ensemble_scheduling": {"step": [{"model_name": name} for name in steps]}} if steps else {},
            "before": {"parameters": values} if values else {},
        }

    def config(self, model: str) -> dict[str, object]:
        return self._configs[model]


def test_crops_are_what_the_server_would_make():
    pictures = Pictures((PICTURE, LARGER, PICTURE), (0, 0, 0), "3 pictures")

    made = crops(pictures, PREPROCESSING)

    for crop, content in zip(made, pictures.contents, strict=True):
        assert crop.dtype == np.uint8
        assert crop.shape == (32, 32, 3)
        assert crop.flags.c_contiguous
        np.testing.assert_array_equal(crop, PREPROCESSING(content))
    assert made[0] is made[2]


@pytest.mark.parametrize(("room", "number"), [(0, 1), (2 * 3 * 32 * 32, 2), (3 * 3 * 32 * 32 - 1, 2), (2**20, 3)])
def test_crops_beyond_the_limit_are_left_out(room, number):
    assert len(crops(Pictures((PICTURE, LARGER, PICTURE), (0, 0, 0), ""), PREPROCESSING, most_bytes=room)) == number


def test_a_picture_that_turns_out_broken_is_named():
    pictures = Pictures((PICTURE, LARGER[: len(LARGER) // 2]), (0, 0), "2 pictures of here (0.001 MP)")

    with pytest.raises(LoadTestError, match=r"^picture 2 of the 2 pictures of here \(0\.001 MP\) is broken: .*$"):
        crops(pictures, PREPROCESSING)


def test_the_preprocessing_is_the_servers():
    server = Server(("before", "after"), resize_short="36", crop="32", interpolation="cubic")

    assert preprocessing_of(server, "Net") == PREPROCESSING


@pytest.mark.parametrize(
    "server", [Server(()), Server(("before", "after")), Server(("before",), resize_short="36", crop="32")]
)
def test_a_model_that_takes_no_pixels_is_explained(server):
    with pytest.raises(LoadTestError, match=r"^Net takes no pixels.*; leave the inputs pixels out$"):
        preprocessing_of(server, "Net")
