"""scripts.own: how a user's model is served, from what they say, what it is like, and what its archive says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from scripts.archive import Archive
from scripts.errors import ArchiveError, ScriptError
from scripts.inference_yml import Preparation
from scripts.own import Decided, Own, decide
from scripts.populate import main, wanted
from scripts.signature import Signature
from tests.unit.test_inference_yml import WHOLE
from tritonclas import zoo
from tritonclas.served import IMAGENET_MEAN, IMAGENET_STD, Served

B0, B4 = zoo.find("EfficientNetB0"), zoo.find("EfficientNetB4")
LITE0 = zoo.find("EfficientNetLite0")


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    folder = tmp_path / "export"
    folder.mkdir()
    return Archive(folder, folder / "inference.json", folder / "inference.pdiparams", "own", "tests")


@pytest.fixture
def described(archive: Archive) -> Archive:
    """The same with an inference.yml: 219 to 192 pixels, cubic, three classes."""
    (archive.folder / "inference.yml").write_text(WHOLE)
    return archive


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("daisy\nrose\ntulip\n")
    return path


def taking(side: int | None, classes: int | None = 3) -> Signature:
    return Signature((None, 3, side, side), (None, classes))


def test_what_nobody_says_is_paddleclas_s_default(archive: Archive, labels: Path) -> None:
    decided = decide(Own(name="flowers", labels=labels), archive, taking(192))
    served = Served(
        name="flowers", crop=192, resize_short=219, interpolation="linear", max_batch_size=8, classes=3
    )  # 219 is to 192 as 256 is to 224
    assert decided == Decided(served, ("daisy", "rose", "tulip"))
    assert (decided.model.mean, decided.model.std) == (IMAGENET_MEAN, IMAGENET_STD)


def test_the_archive_s_inference_yml_counts(described: Archive) -> None:
    decided = decide(Own(name="flowers"), described, taking(192))
    assert decided.labels == ("tench, Tinca tinca", "no", "7")
    model = decided.model
    assert (model.crop, model.resize_short, model.interpolation) == (192, 219, "cubic")
    assert (model.mean, model.std) == ((0.5, 0.4, 0.3), (0.25, 0.2, 0.15))


def test_the_model_that_it_is_like_counts_more(described: Archive, labels: Path) -> None:
    decided = decide(Own(name="flowers", labels=labels, like=LITE0), described, taking(224))
    model = decided.model
    assert (model.crop, model.resize_short, model.interpolation) == (224, 256, "cubic")
    assert (model.mean, model.std, model.max_batch_size) == (LITE0.mean, LITE0.std, 32)
    assert (decided.labels, model.classes) == (("daisy", "rose", "tulip"), 3)


def test_what_the_user_says_counts_most(described: Archive) -> None:
    preparation = Preparation(300, 192, "linear", (0.1, 0.2, 0.3), (0.9, 0.8, 0.7))
    own = Own(name="flowers", like=LITE0, preparation=preparation, max_batch_size=3)
    model = decide(own, described, taking(192)).model
    assert (model.crop, model.resize_short, model.interpolation) == (192, 300, "linear")
    assert (model.mean, model.std, model.max_batch_size) == ((0.1, 0.2, 0.3), (0.9, 0.8, 0.7), 3)


def test_a_short_side_belongs_to_its_crop(described: Archive, labels: Path) -> None:
    """Neither the 412 of the model that it is like, nor the 219 of its inference.yml."""
    own = Own(name="flowers", labels=labels, like=B4, preparation=Preparation(crop=128))
    assert decide(own, described, taking(128)).model.resize_short == 146


def test_an_archive_of_any_size_takes_what_is_wanted(archive: Archive, labels: Path) -> None:
    with pytest.raises(ArchiveError, match="takes pictures of any size; give --crop"):
        decide(Own(name="flowers", labels=labels), archive, taking(None))
    own = Own(name="flowers", labels=labels, preparation=Preparation(crop=160))
    assert decide(own, archive, taking(None)).model.crop == 160
    assert decide(Own(name="flowers", labels=labels, like=B4), archive, taking(None)).model.crop == 380


def test_an_archive_of_any_number_of_classes_takes_the_labels(archive: Archive, labels: Path) -> None:
    assert decide(Own(name="flowers", labels=labels), archive, taking(192, None)).model.classes == 3


def test_a_b4_of_224_pixels_is_refused_and_explained(archive: Archive, labels: Path) -> None:
    with pytest.raises(ArchiveError) as refusal:
        decide(Own(name="my_b4", labels=labels, like=B4), archive, taking(224))
    for part in ("exported for 224x224", "evaluated at 380x380", "image_shape=[3,380,380]", "--labels and --crop 224"):
        assert part in refusal.value.message
    own = Own(name="my_b4", labels=labels, like=B4, preparation=Preparation(crop=224))
    model = decide(own, archive, taking(224)).model
    assert (model.crop, model.resize_short, model.interpolation) == (224, 256, "cubic")


def test_the_network_of_a_row_at_another_size_is_refused_unless_somebody_says_that_size(
    archive: Archive, described: Archive, labels: Path
) -> None:
    """Also where its inference.yml has the same wrong size, as PaddleClas writes it for EfficientNetB4."""
    for text in (WHOLE.replace("size: 192", "size: 224").replace("resize_short: 219", "resize_short: 256"), None):
        if text:
            (described.folder / "inference.yml").write_text(text)
        else:
            (described.folder / "inference.yml").unlink()
        with pytest.raises(ArchiveError, match=r"has EfficientNetB4's network, .*380x380 .* --crop 224"):
            decide(Own(name="flowers", labels=labels), archive, taking(224), [B4])
    own = Own(name="flowers", labels=labels)
    with pytest.raises(ArchiveError, match=r"has EfficientNetB4's network, and .* evaluated at 380x380 .* --crop 224"):
        decide(own, archive, taking(224), [B4])
    assert decide(own, archive, taking(380), [B4]).model.crop == 380
    said = Own(name="flowers", labels=labels, preparation=Preparation(crop=224))
    assert decide(said, archive, taking(224), [B4]).model.crop == 224
    assert decide(own, archive, taking(224), [B4, B0]).model.crop == 224


def test_sizes_that_contradict_the_archive_say_who_wants_them(described: Archive) -> None:
    with pytest.raises(ArchiveError, match=r"exported for 224x224 pixels, and its inference\.yml says 192"):
        decide(Own(name="flowers"), described, taking(224))
    own = Own(name="flowers", preparation=Preparation(crop=256))
    with pytest.raises(ArchiveError, match=r"exported for 192x192 pixels, and --crop says 256; .* give --crop 192"):
        decide(own, described, taking(192))


def test_pictures_that_are_no_squares_are_refused(archive: Archive, labels: Path) -> None:
    with pytest.raises(ArchiveError, match="takes 192x48 pixels; only square"):
        decide(Own(name="flowers", labels=labels), archive, Signature((None, 3, 48, 192), (None, 3)))


def test_labels_are_needed_and_counted(archive: Archive, labels: Path) -> None:
    with pytest.raises(ScriptError, match=r"flowers is a model of your own.*give --labels FILE"):
        decide(Own(name="flowers"), archive, taking(192))
    with pytest.raises(ArchiveError, match=r"labels\.txt names 3 classes, and the archive .* answers 17"):
        decide(Own(name="flowers", labels=labels), archive, taking(192, 17))


def test_labels_of_the_archive_are_counted_too(described: Archive) -> None:
    with pytest.raises(ArchiveError, match=r"inference\.yml names 3 classes, .* answers 4"):
        decide(Own(name="flowers"), described, taking(192, 4))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"preparation": Preparation(resize_short=100)}, "100"),
        ({"preparation": Preparation(std=(0.2, 0.0, 0.2))}, "--std is .* must be positive"),
        ({"preparation": Preparation(std=(0.2, float("nan"), 0.2))}, "divide yours by 255"),
        ({"preparation": Preparation(mean=(123.0, 116.0, 103.0))}, "divide yours by 255"),
        ({"preparation": Preparation(std=(0.2, 0.2, 58.0))}, "divide yours by 255"),
        ({"max_batch_size": 33}, "it must be from 1 to 32"),
        ({"max_batch_size": 0}, "it must be from 1 to 32"),
    ],
)
def test_values_that_make_no_sense_are_refused(archive: Archive, labels: Path, said: dict[str, Any], why: str) -> None:
    with pytest.raises(ScriptError, match=why):
        decide(Own(name="flowers", labels=labels, **said), archive, taking(192))


@pytest.mark.parametrize(
    "name", ["", "my flowers", "../flowers", "-flowers", ".flowers", "a/b", "flowers_net", "preprocess_1", "x" * 101]
)
def test_names_that_cant_be_one(name: str) -> None:
    with pytest.raises(ScriptError, match="can't be a model's name"):
        Own(name=name)


# the command's options

NOTHING = dict.fromkeys(("labels", "like", "crop", "resize_short", "interpolation", "mean", "std", "max_batch_size"))


def test_rows_of_the_zoo_are_named_once_each() -> None:
    assert wanted(["EfficientNetB4", "EfficientNetB0", "EfficientNetB4"], None, NOTHING) == [B4, B0]


def test_a_model_of_ones_own_has_all_that_was_said() -> None:
    said = {
        "labels": Path("l"),
        "like": B4,
        "crop": 1,
        "resize_short": 2,
        "interpolation": "cubic",
        "mean": (0.1, 0.2, 0.3),
        "std": (0.4, 0.5, 0.6),
        "max_batch_size": 3,
    }
    preparation = Preparation(2, 1, "cubic", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert wanted(["flowers", "flowers"], "./export", said) == [
        Own(name="flowers", labels=Path("l"), like=B4, preparation=preparation, max_batch_size=3)
    ]


@pytest.mark.parametrize(
    ("names", "weights", "said", "why"),
    [
        (
            ["EfficientNetB0"],
            "./export",
            {"crop": 1, "max_batch_size": 2},
            "is the zoo's, and --crop, --max-batch-size",
        ),
        (["flowers"], None, {}, "no model 'flowers'; there are: .*also needs --weights PATH"),
        (["EficientNetB0"], "official", {}, "did you mean EfficientNetB0.*also needs --weights PATH"),
        (["flowers"], "synthetic", {"crop": 1}, "also needs --weights PATH"),
        (["flowers", "EfficientNetB0"], "./export", {}, "populate a model of your own alone"),
        (["EfficientNetB0", "flowers"], "./export", {}, "flowers isn't in the zoo; populate .* alone"),
    ],
)
def test_options_that_dont_fit_together(names: list[str], weights: str | None, said: dict[str, Any], why: str) -> None:
    with pytest.raises(click.UsageError, match=why):
        wanted(names, weights, NOTHING | said)


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--mean", "0.5", "isn't three numbers"),
        ("--std", "a,b,c", "isn't three numbers"),
        ("--like", "EfficientNetB44", "did you mean EfficientNetB4"),
        ("--crop", "0", "0 is not in the range"),
        ("--interpolation", "area", "is not one of"),
    ],
)
def test_options_are_checked_by_the_command(option: str, value: str, why: str) -> None:
    result = CliRunner().invoke(main, ["flowers", "--weights", "./export", option, value])
    assert result.exit_code == 2
    assert why in result.output


def test_help_has_an_example_of_each_kind() -> None:
    text = CliRunner().invoke(main, ["--help"]).output
    assert "python -m scripts.populate EfficientNetB0 EfficientNetB4" in text
    assert "python -m scripts.populate my_flowers --weights" in text
