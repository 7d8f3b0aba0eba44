"""The examples without a server: documentation, help, errors as HTTP statuses, how a contact sheet is laid out."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples import contact_sheet, service
from tests.pictures import encode, oriented, picture
from tests.unit.test_documentation import ROOT
from tritonclas import errors
from tritonclas.errors import TritonClasError

README = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
PROGRAMS = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_example_is_named_and_has_its_command(program):
    (row,) = [line for line in README.splitlines() if line.startswith(f"| [`{program.name}`]({program.name}) |")]
    assert f"python examples/{program.name} " in row.split("|")[3]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_example_has_help(program):
    done = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True, check=True)
    assert f"usage: {program.name}" in done.stdout


def test_every_picture_has_its_licence():
    for path in (ROOT / "examples").glob("*.jpg"):
        assert f"| `{path.name}` |" in README


# The service


STATUSES = {
    errors.ImageRejected: 422,
    errors.ServerOverloaded: 503,
    errors.ServerUnavailable: 503,
    errors.ModelNotReady: 503,
    errors.DeadlineExceeded: 504,
    errors.ServerError: 502,
    errors.ModelNotFound: 500,
    errors.InvalidRequest: 500,
    errors.AccessDenied: 500,
}


def test_every_error_of_the_sdk_has_its_status():
    assert set(STATUSES) == set(TritonClasError.__subclasses__())


@pytest.mark.parametrize(("kind", "status"), STATUSES.items(), ids=lambda value: getattr(value, "__name__", value))
def test_errors_become_statuses_and_keep_the_endpoint_to_themselves(kind, status):
    response = asyncio.run(service.failed(None, kind("EfficientNetB0 at triton.internal:8001: full")))
    assert response.status_code == status
    assert (response.headers.get("Retry-After") == "1") == (status == 503)
    assert "triton.internal" not in json.loads(response.body)["detail"]


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("TRITON_URL", "triton:8001")
    monkeypatch.setenv("TRITON_TIMEOUT_S", "2.5")
    assert service.Settings.from_environment() == service.Settings(url="triton:8001", timeout_s=2.5)


def test_a_setting_that_is_no_number_is_named(monkeypatch):
    monkeypatch.setenv("MAX_UPLOAD_BYTES", "20 MB")
    with pytest.raises(SystemExit, match="MAX_UPLOAD_BYTES is '20 MB'; it must be a number"):
        service.Settings.from_environment()


@pytest.mark.parametrize(
    ("name", "value"), [("TRITON_URL", ""), ("TRITON_TIMEOUT_S", "-1"), ("TRITON_TIMEOUT_S", "nan")]
)
def test_settings_that_make_no_sense_are_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=name):
        service.Settings.from_environment()


# The contact sheet


def test_photos_are_found_in_order_without_the_last_sheet(tmp_path):
    (tmp_path / "more").mkdir()
    for name in ("b.JPG", "a.png", "sheet.jpg", ".hidden.jpg", "notes.txt", "more/c.gif"):
        (tmp_path / name).touch()
    sheet = tmp_path / "more" / ".." / "sheet.jpg"
    flat, deep = (contact_sheet.photos_in(tmp_path, recursive, sheet) for recursive in (False, True))
    assert [path.name for path in flat] == ["a.png", "b.JPG"]
    assert [path.name for path in deep] == ["a.png", "b.JPG", "c.gif"]


def test_a_sheet_has_as_many_rows_as_it_needs():
    assert contact_sheet.sheet_size(6, 3) == contact_sheet.sheet_size(4, 3)
    assert contact_sheet.sheet_size(7, 3)[1] - contact_sheet.sheet_size(6, 3)[1] == contact_sheet.PITCH[1]


@pytest.mark.parametrize(
    "text", ["", "cat", "a name much too long for its tile" * 9, "two\nlines", "\udcff.jpg", "猫" * 99]
)
def test_text_fits(text):
    font = contact_sheet.font(13)
    fitted = contact_sheet.fitted(text, font, 100)
    assert font.getlength(fitted) <= 100
    assert fitted.endswith("…") == (font.getlength(contact_sheet.printable(text)) > 100)


@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (3, False), (6, True), (8, True)])
def test_thumbnails_are_turned_as_exif_says(orientation, turned, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(oriented(orientation))  # 97x61 as stored
    thumbnail = contact_sheet.thumbnail(path)
    left, top, right, bottom = thumbnail.point(lambda value: 255 * (value not in MAT)).getbbox()
    assert (right - left < bottom - top) == turned


MAT = {int(contact_sheet.MAT[place : place + 2], 16) for place in (1, 3, 5)}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_any_mode_has_a_thumbnail(mode, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encode(picture(400, 100).convert("I").convert(mode) if mode == "I;16" else picture(mode=mode)))
    assert contact_sheet.thumbnail(path).getpixel((120, 90)) != contact_sheet.grey_tile("").getpixel((0, 0))


def test_what_pillow_cannot_read_is_a_grey_tile(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_text("no photo")
    assert contact_sheet.thumbnail(path).getpixel((0, 0)) == contact_sheet.grey_tile("").getpixel((0, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere isn't a folder"),
        ([".", "--out", "sheet.bmp"], "must end with .jpg or .png"),
        ([".", "--columns", "0"], "--columns must be at least 1"),
    ],
)
def test_what_cannot_be_is_a_usage_error(arguments, message, tmp_path):
    program = ROOT / "examples" / "contact_sheet.py"
    done = subprocess.run(
        [sys.executable, program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(Path(tmp_path).iterdir())
