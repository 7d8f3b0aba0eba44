"""Corrupted archives are never published, and what is said names the cause."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scripts.archive import Archive
from scripts.errors import ScriptError
from scripts.inference_yml import Preparation
from scripts.inventory import inventory
from scripts.own import Own
from scripts.parameters import read_parameters, stored_tensors
from scripts.pipeline import populate
from scripts.repository import check_servable
from tests.remembering import remembering
from tests.unit.tar_files import tar
from tests.unit.test_inference_yml import WHOLE
from tritonclas.results import SYNTHETIC_LABEL

Spoil = Callable[[Path], object]


@pytest.fixture(autouse=True)
def paddle_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    known = tmp_path_factory.getbasetemp() / "answers"
    known.mkdir(exist_ok=True)
    for module in ("export", "verify"):
        monkeypatch.setattr(f"scripts.{module}.run_child", remembering(known))


@pytest.fixture
def archive(tiny_archives: Path, tmp_path: Path) -> Path:
    """A copy of an archive, to be spoilt."""
    return shutil.copytree(tiny_archives / "json", tmp_path / "export")


@pytest.fixture
def model(tmp_path: Path) -> Own:
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"kind {index}\n" for index in range(10)))
    return Own(name="flowers", labels=labels)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def parameters(folder: Path) -> Path:
    return folder / "inference.pdiparams"


def program(folder: Path) -> Path:
    return folder / "inference.json"


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def pieces(folder: Path) -> list[bytes]:
    """The parameters' tensors, each with its header, in the order of their names."""
    content = parameters(folder).read_bytes()
    ends = [tensor.offset + tensor.type.nbytes for tensor in stored_tensors(parameters(folder))]
    return [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def swap(one: str, other: str) -> Spoil:
    """Puts two parameters in each other's places."""

    def spoil(folder: Path) -> None:
        names = [parameter.name for parameter in read_parameters(Archive.open(folder, "own", "tests"))]
        found = dict(zip(names, pieces(folder), strict=True))
        found[one], found[other] = found[other], found[one]
        parameters(folder).write_bytes(b"".join(found[name] for name in names))

    return spoil


def fill(name: str, value: float) -> Spoil:
    """Sets all elements of a parameter."""

    def spoil(folder: Path) -> None:
        opened = Archive.open(folder, "own", "tests")
        place = next(each for each in read_parameters(opened) if each.name == name)
        with parameters(folder).open("r+b") as file:
            file.seek(place.offset)
            file.write(np.full(place.nbytes // 4, value, "f4").tobytes())

    return spoil


def describe(old: str, new: str) -> Spoil:
    """Adds an inference.yml that fits but for one thing."""
    fitting = WHOLE.replace("size: 192", "size: 32").replace("resize_short: 219", "resize_short: 36")
    return lambda folder: (folder / "inference.yml").write_text(fitting.replace(old, new))


CORRUPTED: dict[str, tuple[Spoil, str]] = {
    "truncated parameters": (
        lambda folder: rewrite(parameters(folder), lambda content: content[:-5]),
        r"inference\.pdiparams is cut short: .*download or copy it again",
    ),
    "parameters and something else": (
        lambda folder: rewrite(parameters(folder), lambda content: content + b"\0" * 9),
        r"inference\.pdiparams is cut short",
    ),
    "parameters of another model": (
        lambda folder: parameters(folder).write_bytes(b"".join(pieces(folder)[2:])),
        r"inference\.pdiparams isn't the parameters file of inference\.json: .* take both files from the same export",
    ),
    "parameters of different shape swapped": (
        swap("conv2d_0.w_0", "conv2d_1.w_0"),
        r"its parameter conv2d_0\.w_0 is float32\[8, 3, 3, 3\], and the file has float32\[8, 1, 5, 5\] in its place",
    ),
    "mean and variance swapped": (
        swap("batch_norm2d_0.w_1", "batch_norm2d_0.w_2"),
        r"batch_norm2d_0\.w_2 is no variance, .* damaged or in each other's places",
    ),
    "no parameters": (lambda folder: parameters(folder).unlink(), r"holds no inference\.pdiparams"),
    "no program": (lambda folder: program(folder).unlink(), r"holds neither inference\.json nor inference\.pdmodel"),
    "empty parameters": (lambda folder: parameters(folder).write_bytes(b""), "14 parameters and the file 0 tensors"),
    "empty program": (lambda folder: program(folder).write_bytes(b""), r"inference\.json isn't a Paddle program"),
    "a program that isn't one": (
        lambda folder: program(folder).write_text('{"hello": 1}'),
        r"inference\.json isn't a Paddle program, or it is damaged \(KeyError",
    ),
    "an old program that isn't one": (
        lambda folder: program(folder).rename(folder / "inference.pdmodel"),
        r"inference\.pdmodel isn't a Paddle program, or it is damaged",
    ),
    "parameters that aren't any": (
        lambda folder: rewrite(parameters(folder), lambda content: b"<html>" + content),
        r"inference\.pdiparams isn't a Paddle parameters file, or it is damaged: the tensor at byte 0",
    ),
    "NaN": (fill("conv2d_0.w_0", np.nan), "answers NaN or infinity: the archive's weights are damaged"),
    "infinity": (fill("linear_0.w_0", np.inf), "answers NaN or infinity: the archive's weights are damaged"),
    "NaN as variance": (fill("batch_norm2d_1.w_2", np.nan), r"batch_norm2d_1\.w_2 is no variance, .*NaN"),
    "zeros": (fill("linear_0.w_0", 0), "answers the same for every picture, .* weights are damaged"),
    "description of another size": (
        describe("size: 32", "size: 64"),
        r"for 32x32 pixels, and its inference\.yml says 64",
    ),
    "damaged description": (describe("- ToCHWImage: null", "- }"), r"inference\.yml can't be used \(ParserError"),
    "folder of something else": (
        lambda folder: [path.unlink() for path in folder.iterdir()] and (folder / "notes.txt").touch(),
        "it isn't a Paddle inference archive",
    ),
}


@pytest.mark.parametrize(("spoil", "why"), CORRUPTED.values(), ids=CORRUPTED)
def test_nothing_is_published(archive: Path, model: Own, tmp_path: Path, spoil: Spoil, why: str) -> None:
    spoil(archive)
    with pytest.raises(ScriptError, match=why) as refusal:
        populate(model, str(archive), tmp_path / "models")
    assert "\n" not in refusal.value.message
    assert not list((tmp_path / "models").iterdir())


@pytest.mark.parametrize(("spoil", "why"), CORRUPTED.values(), ids=CORRUPTED)
def test_what_is_there_stays(archive: Path, model: Own, tmp_path: Path, spoil: Spoil, why: str) -> None:
    models = tmp_path / "models"
    populate(model, str(archive), models)
    before = contents(models)
    spoil(archive)
    with pytest.raises(ScriptError, match=why):
        populate(model, str(archive), models)
    assert contents(models) == before


def hide(monkeypatch: pytest.MonkeyPatch, hidden: Path) -> None:
    """Make a file or folder unreadable, also to root."""
    real: dict[str, Callable[..., object]] = {"open": Path.open, "iterdir": Path.iterdir}

    def refusing(name: str) -> Callable[..., object]:
        def call(path: Path, *arguments: object, **options: object) -> object:
            if path == hidden:
                raise PermissionError(13, "Permission denied", str(path))
            return real[name](path, *arguments, **options)

        return call

    for name in real:
        monkeypatch.setattr(Path, name, refusing(name))


@pytest.mark.parametrize("name", ["", "inference.pdiparams", "inference.json"])
def test_what_cant_be_read_is_named_and_not_what_is_written(
    archive: Path, model: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hide(monkeypatch, archive / name)
    with pytest.raises(ScriptError, match=rf"{re.escape(str(archive / name))} can't be read \(Permission denied\)"):
        populate(model, str(archive), tmp_path / "models")
    monkeypatch.undo()
    assert not list((tmp_path / "models").iterdir())


def test_a_tar_file_or_a_picture_that_cant_be_read_is_named(
    archive: Path, model: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "export.tar"
    packed.write_bytes(tar({f"x/{path.name}": path.read_bytes() for path in archive.iterdir()}))
    monkeypatch.setattr("tarfile.open", lambda path, **_: (tmp_path / "nowhere" / path.name).open())
    with pytest.raises(ScriptError, match=r"export\.tar can't be read \(No such file"):
        populate(model, str(packed), tmp_path / "models")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "cat.jpg").touch()
    hide(monkeypatch, pictures / "cat.jpg")
    with pytest.raises(ScriptError, match=r"cat\.jpg can't be read \(Permission denied\)"):
        populate(model, str(archive), tmp_path / "models", pictures=pictures)


def test_an_archive_of_links_is_as_good_as_one_of_files(archive: Path, model: Own, tmp_path: Path) -> None:
    """As in a cache whose files are named by their hashes."""
    links = tmp_path / "links"
    links.mkdir()
    for number, path in enumerate(sorted(archive.iterdir())):
        (links / path.name).symlink_to(path.rename(archive / str(number)))
    assert populate(model, str(links), tmp_path / "models").difference is not None


def test_weights_that_broke_off_in_a_copy_are_published_again(
    archive: Path, model: Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.onnx_file.LARGEST_MESSAGE", 100)
    monkeypatch.setattr("scripts.onnx_file._SMALLEST_OUTSIDE", 100)
    models = tmp_path / "models"
    populate(model, str(archive), models)
    (weights,) = models.glob("flowers_net/1/model.onnx/weights-*.data")
    whole = weights.read_bytes()
    faults = {
        "is cut short": lambda: weights.write_bytes(whole[:-1]),
        "is missing": weights.unlink,
        "cut short or damaged": lambda: rewrite(weights.with_name("model.onnx"), lambda content: content[:-9]),
    }
    for why, spoil in faults.items():
        assert populate(model, str(archive), models).difference is None
        spoil()
        (entry,) = inventory(models)
        assert why in str(entry.fault)
        with pytest.raises(ScriptError, match=f"{why}.*; run python -m scripts.populate flowers"):
            check_servable("flowers", models)
        assert populate(model, str(archive), models).difference is not None
        assert weights.read_bytes() == whole
        check_servable("flowers", models)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda content: content[: len(content) // 2], "is cut short or no tar file"),
        (lambda content: content[:0], "is cut short or no tar file"),
        (lambda _: tar({"x/inference.pdiparams": b"weights"}), "isn't a Paddle inference archive: it must hold"),
        (lambda content: b"PK\3\4" + content, "is cut short or no tar file"),
    ],
    ids=["cut short", "empty", "no program", "no tar"],
)
def test_damaged_tar_files(
    archive: Path, model: Own, tmp_path: Path, change: Callable[[bytes], bytes], why: str
) -> None:
    packed = tar({f"x/{path.name}": path.read_bytes() for path in archive.iterdir()})
    file = tmp_path / "export.tar"
    file.write_bytes(change(packed))
    with pytest.raises(ScriptError, match=rf"export\.tar {why}"):
        populate(model, str(file), tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())


def test_the_size_that_is_wanted_must_be_the_archive_s(archive: Path, model: Own, tmp_path: Path) -> None:
    other = Own(name=model.name, labels=model.labels, preparation=Preparation(crop=48))
    with pytest.raises(ScriptError, match=r"exported for 32x32 pixels, and --crop says 48; .* give --crop 32"):
        populate(other, str(archive), tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())


def test_another_preparation_under_a_name_that_is_taken_is_refused_before_the_export(
    archive: Path, model: Own, tmp_path: Path
) -> None:
    populate(model, str(archive), tmp_path / "models")
    other = Own(name=model.name, labels=model.labels, preparation=Preparation(interpolation="cubic"))
    steps: list[str] = []
    with pytest.raises(ScriptError, match="prepared otherwise"):
        populate(other, str(archive), tmp_path / "models", report=steps.append)
    assert steps == ["fetch", "convert"]


def test_random_weights_of_ours_never_have_the_names_of_a_users_classes(
    archive: Path, model: Own, tmp_path: Path
) -> None:
    Archive.made(archive, "synthetic", "seeded random weights")
    done = populate(model, str(archive), tmp_path / "models")
    assert (done.origin.kind, done.origin.source) == ("synthetic", "seeded random weights")
    labels = (tmp_path / "models" / "flowers_net" / "labels.txt").read_text().splitlines()
    assert len(labels) == 10
    assert all(label.startswith(SYNTHETIC_LABEL) for label in labels)


def test_a_label_too_many_is_counted(archive: Path, model: Own, tmp_path: Path) -> None:
    assert model.labels
    rewrite(model.labels, lambda content: content + b"one more\n")
    with pytest.raises(ScriptError, match=r"labels\.txt names 11 classes, and the archive .* answers 10"):
        populate(model, str(archive), tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())
