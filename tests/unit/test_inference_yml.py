"""scripts.inference_yml: what PaddleClas's newer exports say of themselves, and what of it can't be served."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import ArchiveError
from scripts.inference_yml import MOST_BYTES, Described, Preparation, read_description

#: As PaddleClas's tools/export_model.py writes it, with keys in this order and the scale as a text.
WHOLE = """\
Global:
  model_name: PP-LCNet_x1_0
Hpi:
  backend_configs:
    paddle_infer:
      trt_dynamic_shapes: &id001
        x:
        - [1, 3, 192, 192]
        - [8, 3, 192, 192]
    tensorrt:
      dynamic_shapes: *id001
PreProcess:
  transform_ops:
  - ResizeImage:
      resize_short: 219
      interpolation: bicubic
      backend: cv2
  - CropImage:
      size: 192
  - NormalizeImage:
      channel_num: 3
      mean:
      - 0.5
      - 0.4
      - 0.3
      order: ''
      scale: 1.0/255.0
      std:
      - 0.25
      - 0.2
      - 0.15
  - ToCHWImage: null
PostProcess:
  Topk:
    topk: 5
    label_list:
    - tench, Tinca tinca
    - 'no'
    - 7
"""


def read(folder: Path, text: str) -> Described:
    (folder / "inference.yml").write_text(text, encoding="utf-8")
    return read_description(folder)


def test_all_that_it_says(tmp_path: Path) -> None:
    assert read(tmp_path, WHOLE) == Described(
        Preparation(resize_short=219, crop=192, interpolation="cubic", mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.15)),
        ("tench, Tinca tinca", "no", "7"),
    )


def test_an_archive_without_one_says_nothing(tmp_path: Path) -> None:
    assert read_description(tmp_path) == Described()


def test_what_it_leaves_out_is_not_said(tmp_path: Path) -> None:
    steps = "- ResizeImage: {resize_short: 256}\n  - CropImage: {size: 224}\n  - NormalizeImage: null\n"
    text = f"PreProcess:\n  transform_ops:\n  {steps}PostProcess:\n  NormalizeFeatures: null\n"
    assert read(tmp_path, text) == Described(Preparation(resize_short=256, crop=224, interpolation="linear"))


def test_a_short_side_without_an_interpolation_is_linear_as_in_paddleclas(tmp_path: Path) -> None:
    text = WHOLE.replace("      interpolation: bicubic\n", "")
    assert read(tmp_path, text).preparation.interpolation == "linear"


@pytest.mark.parametrize(
    ("written", "meant"), [("bilinear", "linear"), ("1", "linear"), ("2", "cubic"), ("'bicubic'", "cubic")]
)
def test_interpolations_have_names_or_cv2s_numbers(tmp_path: Path, written: str, meant: str) -> None:
    assert read(tmp_path, WHOLE.replace("bicubic", written)).preparation.interpolation == meant


@pytest.mark.parametrize("scale", ["0.00392156862745098", "1/255", "'0.00392156862745098'"])
def test_the_scale_has_several_spellings(tmp_path: Path, scale: str) -> None:
    assert read(tmp_path, WHOLE.replace("1.0/255.0", scale)).preparation.mean == (0.5, 0.4, 0.3)


def test_a_side_twice_is_a_square(tmp_path: Path) -> None:
    assert read(tmp_path, WHOLE.replace("size: 192", "size: [192, 192]")).preparation.crop == 192


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("resize_short: 219", "size: 192", "ResizeImage has no resize_short"),
        ("backend: cv2", "backend: pil", "backend 'pil'"),
        ("bicubic", "lanczos", "interpolation 'lanczos'"),
        ("bicubic", "[bicubic]", "unhashable"),
        ("size: 192", "size: [192, 224]", r"CropImage has the size \[192, 224\]"),
        ("size: 192", "size: large", "CropImage has the size 'large'"),
        ("size: 192", "size: 0", "CropImage has the size 0"),
        ("resize_short: 219", "resize_short: 219.5", "ResizeImage has the size 219.5"),
        ("resize_short: 219", "resize_short: true", "ResizeImage has the size True"),
        ("1.0/255.0", "1.0", "scale 1.0"),
        ("1.0/255.0", "2.0/255.0", "scale '2.0/255.0'"),
        ("1.0/255.0", "[1.0/255.0]", "scale .* must be a number"),
        ("- CropImage:\n      size: 192", "- ToCHWImage: null", "transform_ops has no CropImage"),
        ("- ResizeImage:", "- RandCropImage:", "transform_ops has RandCropImage"),
        (
            "  - ToCHWImage: null",
            "  - CropImage: {size: 160}",
            "has the steps ResizeImage, CropImage, Norm.*, CropImage:",
        ),
        (
            "  transform_ops:",
            "  transform_ops:\n  - CropImage: {size: 256}",
            "has the steps CropImage, ResizeImage, Crop",
        ),
        ("  - ToCHWImage: null", "  <<: *id001", "merges mappings"),
        ("1.0/255.0", "1.0*255.0", "could not convert"),
        ("1.0/255.0", "one 255th", "could not convert"),
        ("1.0/255.0", "1.0/0", "ZeroDivisionError"),
        ("      - 0.3\n", "", "not enough values"),
        ("- ToCHWImage: null", "- RandomErasing: null", "transform_ops has RandomErasing"),
        ("- ResizeImage:", "- DecodeImage: {to_rgb: false}\n  - ResizeImage:", "only models that take RGB"),
        ("'no'", "no", "label_list has False, .* in quotes"),
        ("'no'", "null", "label_list has None"),
        ("'no'", "''", r"line 2 of .*inference\.yml's label_list is empty"),
        ("PreProcess:", "Preprocess:", "KeyError: 'PreProcess'"),
        ("  transform_ops:", "  transform_ops: [", "ParserError|parsing"),
        (WHOLE, "", "TypeError"),
        (WHOLE, "[" * 100_000, "RecursionError"),
        (WHOLE, "\x00", "ReaderError"),
    ],
    ids=lambda value: value[:30].strip() if isinstance(value, str) else None,
)
def test_what_cant_be_done_is_refused_in_a_line(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in WHOLE
    with pytest.raises(ArchiveError, match=why) as refusal:
        read(tmp_path, WHOLE.replace(old, new))
    assert "inference.yml" in refusal.value.message
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize("place", ["size: 192", "1.0/255.0", "bicubic", "backend: cv2", "'no'"])
def test_aliases_of_aliases_dont_become_a_message_of_gigabytes(tmp_path: Path, place: str) -> None:
    levels = [f"level{number}: &level{number} [{', '.join([f'*level{number - 1}'] * 9)}]" for number in range(1, 12)]
    bomb = "\n".join(["level0: &level0 [x]", *levels])
    key, _, _ = place.rpartition(" ")
    text = bomb + "\n" + WHOLE.replace(place, f"{key} *level11".strip())
    with pytest.raises(ArchiveError) as refusal:
        read(tmp_path, text)
    assert len(refusal.value.message) < 1000


def test_aliases_of_steps_dont_fill_the_memory(tmp_path: Path) -> None:
    step = "{" + ", ".join(f"k{number}: " for number in range(4000)) + "}"
    text = f"a: &a {step}\nPreProcess:\n  transform_ops:\n" + "  - *a\n" * 4000
    with pytest.raises(ArchiveError, match="transform_ops has 4000 steps, which no export has"):
        read(tmp_path, text)
    with pytest.raises(ArchiveError, match="transform_ops has a step of 4000 names instead of one"):
        read(tmp_path, f"PreProcess:\n  transform_ops:\n  - {step}\n")


def test_a_file_that_is_no_description_isnt_read_in_part(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="more than 1 MiB"):
        read(tmp_path, WHOLE + "    - daisy\n" * (MOST_BYTES // 12))
