"""The examples run, on the real server."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from tests.example_ray import ray_job, rows_in
from tests.example_service import service_for, upload
from tests.triton.commands import run
from tests.triton.conftest import REAL, SYNTHETIC
from tritonclas import ImageRejected

GREY = (0xC9, 0xC9, 0xC6)


@pytest.fixture
def photos(examples, tmp_path) -> Path:
    """A folder with the example pictures, and a text file that calls itself one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in examples.values():
        shutil.copy(path, folder)
    (folder / "notes.jpg").write_text("no picture")
    return folder


def test_the_script_answers_the_good_ones_and_names_the_bad(photos, server):
    done = run("examples/classify.py", *sorted(photos.iterdir()), "--url", server.url)
    assert done.returncode == 1
    assert [line.split("\t")[1] for line in done.stdout.splitlines()] == ["tiger cat", "espresso", "missile"]
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {photos / 'notes.jpg'}: not a picture")


def test_the_script_ends_with_0_if_all_are_good(examples, server):
    done = run("examples/classify.py", examples["cat"], "--url", server.url, "--model", SYNTHETIC)
    assert (done.returncode, done.stderr) == (0, "")
    assert "synthetic" in done.stdout


@pytest.mark.parametrize("program", ["classify.py", "contact_sheet.py"])
def test_an_unknown_model_is_one_line(program, photos, server, tmp_path):
    given = photos / "cat.jpg" if program == "classify.py" else photos
    done = run(f"examples/{program}", given, "--url", server.url, "--model", "EfficientNetB9")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: EfficientNetB9 at ")
    assert len(done.stderr.splitlines()) == 1


def test_the_service_answers_what_the_classifier_does(examples, classifier, server):
    contents = [path.read_bytes() for path in examples.values()]
    expected = [[label.index for label in result.labels] for result in classifier.classify_many(contents)]
    with service_for(server.url, REAL, MAX_UPLOAD_BYTES=1_000_000) as client, ThreadPoolExecutor(8) as threads:
        assert client.get("/healthz").json() == {"ready": True}
        assert upload(client, contents[0]).json()["results"][0]["labels"][0]["name"] == "tiger cat"
        for response in threads.map(lambda _: upload(client, *contents), range(16)):
            results = response.json()["results"]
            assert [[label["index"] for label in result["labels"]] for result in results] == expected
        assert upload(client, b"no picture").status_code == 422
        assert "not a picture" in upload(client, contents[0], b"no picture").json()["results"][1]["error"]
        assert upload(client, bytes(1_000_000)).status_code == 413
        assert upload(client, contents[0], timeout_s=1e-6).status_code == 504


def test_a_contact_sheet_shows_every_photo_and_grey_for_the_rejected(photos, server, tmp_path):
    out = photos / "sheet.png"
    for _ in range(2):  # and isn't taken for a photo the second time
        done = run("examples/contact_sheet.py", photos, "--columns", 2, "--out", out, "--url", server.url)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{out}: 4 photos\n", "")
    sheet = Image.open(out)
    assert sheet.size == (540, 588)
    assert [sheet.getpixel((25 + 260 * column, 70 + 262 * row)) == GREY for row in (0, 1) for column in (0, 1)] == [
        False,
        False,
        True,
        False,
    ]
    sheet.close()


def test_a_folder_without_photos_is_one_line(server, tmp_path):
    done = run("examples/contact_sheet.py", tmp_path, "--out", tmp_path / "sheet.jpg", "--url", server.url)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {tmp_path} has no photos")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ray_answers_what_the_classifier_does(photos, classifier, server, tmp_path):
    paths = sorted(map(str, photos.iterdir()))
    with ray_job(photos, tmp_path / "out", url=server.url, model=REAL, batch_size=2) as process:
        output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert rows_in(tmp_path / "out") == [
        pytest.approx(expected_row(path, result))
        for path, result in zip(paths, classifier.classify_many(paths), strict=True)
    ]


def expected_row(path, result):
    """The row of a file with that answer."""
    if isinstance(result, ImageRejected):
        return {"path": path, "label": None, "index": None, "score": None, "error": result.reason}
    return {
        "path": path,
        "label": result.top.name,
        "index": result.top.index,
        "score": result.top.score,
        "error": None,
    }
