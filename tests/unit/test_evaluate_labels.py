"""Labelled sets: what the two forms may look like, and what is said of those that aren't clear."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import ScriptError
from scripts.evaluation.labelled import read_labelled
from tritonclas.published import imagenet_labels

NAMES = ("tench, Tinca tinca", "tiger cat", "n01484850 white shark", "crane", "crane", "missile", "projectile, missile")


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def listed(folder: Path, content: str | bytes) -> Path:
    path = folder / "list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, labels: Path | None = None, names: tuple[str, ...] = NAMES) -> dict[str, int]:
    found = read_labelled(folder, labels, names)
    return {str(picture.path.relative_to(folder)): picture.index for picture in found.pictures}


def refusal(folder: Path, labels: Path | None = None, names: tuple[str, ...] = NAMES) -> str:
    with pytest.raises(ScriptError) as caught:
        read_labelled(folder, labels, names)
    assert "\n" not in caught.value.message
    return caught.value.message


LISTS = {
    "as ImageNet's": "val/a.jpg 1\nval/b 2.jpg 0\n",
    "tabs": "val/a.jpg\t1\nval/b 2.jpg\t0",
    "Windows, with a BOM": b"\xef\xbb\xbfval/a.jpg 1\r\nval/b 2.jpg 0\r\n",
    "blank lines, comments, white space": "\n# the validation set\n#\n  val/a.jpg   1  \n\nval/b 2.jpg 0\n\n",
    "from another root": "ILSVRC/val/a.jpg 1\nILSVRC/val/b 2.jpg 0\n",
    "leading zeros": "val/a.jpg 001\nval/b 2.jpg 00\n",
}


@pytest.mark.parametrize("content", LISTS.values(), ids=LISTS)
def test_lists(tmp_path, content):
    touch(tmp_path, "val/a.jpg", "val/b 2.jpg")
    assert read(tmp_path, listed(tmp_path, content)) == {"val/a.jpg": 1, "val/b 2.jpg": 0}


@pytest.mark.parametrize("prefix", ["", "val/", "a/b/c/", "/a/b/", "../"])
def test_paths_of_another_root_are_found_by_their_names(tmp_path, prefix):
    touch(tmp_path, "a.jpg", "b.jpg")
    assert read(tmp_path, listed(tmp_path, f"{prefix}a.jpg 1\n{prefix}b.jpg 0\n")) == {"a.jpg": 1, "b.jpg": 0}


def test_absolute_paths_below_the_folder(tmp_path):
    touch(tmp_path, "val/a.jpg")
    assert read(tmp_path, listed(tmp_path, f"{tmp_path}/val/a.jpg 1\n")) == {"val/a.jpg": 1}


def test_what_lies_outside_the_folder_is_not_read(tmp_path):
    touch(tmp_path, "secret.jpg", "in/a.jpg")
    for path in ("../secret.jpg", f"{tmp_path}/secret.jpg"):
        assert "in line 2" in refusal(tmp_path / "in", listed(tmp_path, f"a.jpg 1\n{path} 0\n"))


def test_one_reading_of_the_paths_holds_for_all(tmp_path):
    touch(tmp_path, "val/a.jpg", "b.jpg")
    assert "'other/b.jpg' in line 2" in refusal(tmp_path, listed(tmp_path, "val/a.jpg 1\nother/b.jpg 1\n"))


BAD_LISTS = {
    "no class": ("a.jpg 1\nb.jpg\n", "line 2 of {} isn't `PATH INDEX`: 'b.jpg'"),
    "two classes": ("a.jpg 1\nb.jpg 0,1\n", "line 2 of {} isn't"),
    "too large": ("a.jpg 7\n", "line 1 of {}: the model has no class 7, only 0 to 6"),
    "a long name": (f"a.jpg 1\n{'b' * 5000} 1\n", "1 of the 2 pictures"),
    "negative": ("a.jpg 1\nb.jpg -1\n", "line 2 of {}: the model has no class -1"),
    "huge": (f"a.jpg {'9' * 5000}\n", "line 1 of {}: the model has no class"),
    "counted from 1": ("a.jpg 1\nb.jpg 7\n", "seems to count from 1"),
    "not there": ("a.jpg 1\nc.jpg 1\nd.jpg 1\n", "2 of the 3 pictures that {} lists aren't in"),
    "nothing there": ("c.jpg 1\n", "has none of the pictures that {} lists, such as 'c.jpg'; give --images"),
    "twice": ("a.jpg 1\nb.jpg 1\na.jpg 1\n", "lines 1 and 3 of {} are about the same picture, 'a.jpg'"),
    "twice, otherwise written": ("a.jpg 1\n./a.jpg 0\n", "lines 1 and 2 of {} are about the same picture"),
    "nothing": ("\n# nothing\n", "{} is empty"),
    "not text": (b"\xff\xd8\xff\xe0", "{} isn't UTF-8 text"),
}


@pytest.mark.parametrize(("content", "why"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_bad_lists(tmp_path, content, why):
    touch(tmp_path, "a.jpg", "b.jpg")
    labels = listed(tmp_path, content)
    assert why.format(labels) in refusal(tmp_path, labels)


def test_a_list_that_does_not_count_from_one(tmp_path):
    touch(tmp_path, "a.jpg", "b.jpg")
    assert "count from 1" not in refusal(tmp_path, listed(tmp_path, "a.jpg 0\nb.jpg 7\n"))


def test_folders_named_by_index(tmp_path):
    touch(tmp_path, "0/a.jpg", "06/b.JPEG", "2/c.webp", "2/.hidden.jpg", "2/notes.txt", ".git/x.jpg", "stray.jpg")
    assert read(tmp_path) == {"0/a.jpg": 0, "06/b.JPEG": 6, "2/c.webp": 2}


def test_folders_named_by_class(tmp_path):
    touch(tmp_path, "Tinca tinca/a.jpg", "tiger_cat/b.png", "n01484850/c.bmp", "missile/d.tif", "projectile/e.ppm")
    assert sorted(read(tmp_path).values()) == [0, 1, 2, 5, 6]
    assert read(tmp_path)["missile/d.tif"] == 5


def test_imagenets_own_names(tmp_path):
    names = imagenet_labels()
    unambiguous = [name for name in names if names.count(name) == 1]
    touch(tmp_path, *(f"{name}/a.jpg" for name in unambiguous))
    assert read(tmp_path, names=names) == {f"{name}/a.jpg": names.index(name) for name in unambiguous}


def test_folders_in_the_order_of_the_classes(tmp_path):
    wordnet = [f"n0000000{number}" for number in (5, 1, 3)]
    touch(tmp_path, *(f"{name}/a.jpg" for name in wordnet))
    expected = {"n00000001/a.jpg": 0, "n00000003/a.jpg": 1, "n00000005/a.jpg": 2}
    assert read(tmp_path, names=("", "", "")) == expected


def test_class_names_from_a_file(tmp_path):
    touch(tmp_path / "set", "b/x.jpg", "a/x.jpg", "class 1/x.jpg")
    for content in ("class 1\nb\na\n", "0 class 1\n1 b\n2 a\n", "CLASS_1\nbee, b\na\n"):
        names = listed(tmp_path, content)
        assert read(tmp_path / "set", names, ("", "", "")) == {"a/x.jpg": 2, "b/x.jpg": 1, "class 1/x.jpg": 0}


def test_class_names_that_look_like_a_list(tmp_path):
    touch(tmp_path / "set", "class 2/x.jpg")
    for content in ("class 1\nclass 2\n", "0 class 1\n1 class 2\n"):
        assert read(tmp_path / "set", listed(tmp_path, content), ("", "")) == {"class 2/x.jpg": 1}


def test_wordnet_ids_from_a_file_of_names(tmp_path):
    touch(tmp_path / "set", "n00000002/x.jpg")
    names = listed(tmp_path, "n00000009 tench\nn00000002 shark, white shark\n")
    assert read(tmp_path / "set", names, ("", "")) == {"n00000002/x.jpg": 1}


def test_classes_take_turns(tmp_path):
    touch(tmp_path, "0/a.jpg", "0/b.jpg", "0/c.jpg", "1/a.jpg", "2/a.jpg", "2/b.jpg")
    assert list(read(tmp_path)) == ["0/a.jpg", "1/a.jpg", "2/a.jpg", "0/b.jpg", "2/b.jpg", "0/c.jpg"]


BAD_FOLDERS = {
    "no folders": (["a.jpg"], "has no folders to be its classes"),
    "no pictures": (["0/notes.txt", "1/sub/a.jpg"], "the 2 class folders in {} hold no pictures"),
    "out of range": (["0/a.jpg", "7/a.jpg"], "{}/7: the model has no class 7"),
    "one class twice": (["1/a.jpg", "01/a.jpg"], "'01' and '1' in {} are both of class 1"),
    "one name twice": (["tench/a.jpg", "Tinca tinca/a.jpg"], "are both of class 0"),
    "a name of two classes": (["crane/a.jpg", "tench/a.jpg"], "1 of the 2 folders in {} aren't named as the model"),
    "an unknown name": (["tench/a.jpg", "salmon/a.jpg"], "such as 'salmon'; name the folders by index"),
    "other names": (["salmon/a.jpg", "trout/a.jpg"], "(salmon, trout) are neither indices nor names of the model's 7"),
    "a number and a name": (["0/a.jpg", "salmon/a.jpg"], "neither indices nor names"),
}


@pytest.mark.parametrize(("files", "why"), BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_bad_folders(tmp_path, files, why):
    touch(tmp_path, *files)
    assert why.format(tmp_path) in refusal(tmp_path)


def test_numbers_that_are_names_of_other_classes(tmp_path):
    touch(tmp_path, "0/a.jpg", "1/a.jpg")
    assert "names of other classes" in refusal(tmp_path, names=("1", "0"))
    assert read(tmp_path, names=("0", "1")) == {"0/a.jpg": 0, "1/a.jpg": 1}


def test_names_for_another_number_of_classes(tmp_path):
    touch(tmp_path / "set", "a/x.jpg")
    names = listed(tmp_path, "a\nb\n")
    assert f"{names} is neither a list with `PATH INDEX` a line nor" in refusal(tmp_path / "set", names)


def test_the_fingerprint_is_of_pictures_classes_and_order(tmp_path):
    def fingerprint(folder: Path, content: str) -> str:
        touch(folder, "a.jpg", "b.jpg")
        return read_labelled(folder, listed(folder, content), NAMES).fingerprint()

    first = fingerprint(tmp_path / "one", "a.jpg 1\nb.jpg 0\n")
    assert fingerprint(tmp_path / "elsewhere", "# moved\na.jpg 1\nb.jpg 0\n") == first
    for other in ("a.jpg 1\nb.jpg 1\n", "b.jpg 0\na.jpg 1\n", "a.jpg 1\n"):
        assert fingerprint(tmp_path / "one", other) != first


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    touch(tmp_path, "0/a.jpg")

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert refusal(tmp_path) == f"{tmp_path} can't be read (Permission denied)"
