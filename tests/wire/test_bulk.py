"""`tritonclas classify` over folders, into files, and on after an interruption."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet
import pytest
from click.testing import Result

from tests.runner import command_runner
from tests.wire.scripted import MODEL, Hang, Service, contents, image, infer, refuse
from tritonclas.cli import main

SUFFIXES = pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])


def run(*arguments: object) -> Result:
    return command_runner().invoke(main, ["classify", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 0.jpg to 9.jpg, more in a folder within, and what are no pictures."""
    monkeypatch.chdir(tmp_path)
    for number in range(10):
        put(Path("photos") / f"{number}.jpg", number)
        put(Path("photos/more") / f"{number}.PNG", 100 + number)
    Path("photos/notes.txt").write_text("notes")
    return Path("photos")


def put(path: Path, answer: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image(str(answer)))
    return path


Row = tuple[str, int | None, str | None]


def rows(path: Path) -> list[Row]:
    """Image, best class and error of each row, whatever kind of file it is."""
    if path.suffix == ".parquet":
        found = pyarrow.parquet.read_table(path).to_pylist()
    elif path.suffix == ".jsonl":
        found = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        with path.open(newline="") as file:
            table = list(csv.DictReader(file))
        return [(r["image"], int(r["index_1"]) if r["index_1"] else None, r["error"] or None) for r in table]
    return [(r["image"], r["labels"][0]["index"] if r["labels"] else None, r["error"]) for r in found]


def of_folder(photos: Path, *, recursive: bool = False) -> list[Row]:
    """What must be known of it."""
    found: list[Row] = [(str(photos / f"{number}.jpg"), number, None) for number in range(10)]
    if recursive:
        found += [(str(photos / "more" / f"{number}.PNG"), 100 + number, None) for number in range(10)]
    return found


@SUFFIXES
@pytest.mark.parametrize("recursive", [False, True])
def test_a_folder_into_a_file(url: str, photos: Path, suffix: str, recursive: bool) -> None:
    out = Path(f"answers{suffix}")
    result = run(photos, *(["--recursive"] if recursive else []), "--url", url, "--model", MODEL, "--out", out)
    assert (result.exit_code, result.stdout) == (0, "")
    assert rows(out) == of_folder(photos, recursive=recursive)
    assert result.stderr == f"{out}: {20 if recursive else 10} images classified, 0 rejected\n"
    assert sorted(path.name for path in Path().iterdir()) == [out.name, "photos"]


def test_a_folder_in_the_terminal(url: str, photos: Path) -> None:
    result = run(photos, "--recursive", "--url", url, "--model", MODEL, "--json", "--top-k", 1)
    assert [row["labels"][0]["index"] for row in json.loads(result.stdout)] == [*range(10), *range(100, 110)]


@SUFFIXES
def test_rejected_images_have_a_row_with_the_reason(url: str, photos: Path, suffix: str) -> None:
    (photos / "5.jpg").write_text("text")
    put(photos / "7.jpg", 'bad: a, "quoted" reason')
    out = Path(f"answers{suffix}")
    result = run(photos, "missing.jpg", "--url", url, "--model", MODEL, "--out", out)
    assert result.exit_code == 1
    assert result.stderr == f"{out}: 8 images classified, 3 rejected\n"
    found = rows(out)
    assert [index for _, index, _ in found] == [0, 1, 2, 3, 4, None, 6, None, 8, 9, None]
    assert "not a picture" in (found[5][2] or "")
    assert (found[7][2], found[10][2]) == ('bad: a, "quoted" reason', "no such file")


def test_columns_of_a_table(url: str, photos: Path) -> None:
    put(photos / "0.jpg", "7:a cat, striped")
    run(photos / "0.jpg", "--url", url, "--model", MODEL, "--out", "answers.csv", "--top-k", 2)
    assert Path("answers.csv").read_text().splitlines() == [
        "image,model,version,error,index_1,name_1,score_1,index_2,name_2,score_2",
        f'photos/0.jpg,{MODEL},1,,7,"a cat, striped",1.0,8,"a cat, striped",0.99',
    ]


class Failing:
    """A server that answers so many requests, and is then overloaded."""

    def __init__(self, answers: int, answer: Any = infer) -> None:
        self.left = answers
        self.answer = answer

    def __call__(self, request: Any, context: Any) -> Any:
        self.left -= 1
        answer = self.answer if self.left >= 0 else refuse(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
        return answer(request, context)


@SUFFIXES
def test_what_failed_is_gone_on_with(service: Service, url: str, photos: Path, suffix: str) -> None:
    command = (photos, "--url", url, "--model", MODEL, "--out", f"answers{suffix}", "--batch-size", 1, "--in-flight", 1)
    service.answers["ModelInfer"] = Failing(4)
    result = run(*command)
    assert result.exit_code == 1
    assert "4 rows are in" in result.stderr
    assert result.stderr.endswith("the same command goes on\n")
    assert len(result.stderr.splitlines()) == 1
    service.answers["ModelInfer"] = infer
    asked = len(service.asked("ModelInfer"))
    result = run(*command)
    assert (result.exit_code, result.stderr) == (
        0,
        f"answers{suffix}: 6 images classified, 0 rejected; 4 were there before\n",
    )
    assert rows(Path(f"answers{suffix}")) == of_folder(photos)
    assert len(service.asked("ModelInfer")) == asked + 6


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_row_that_was_cut_off_is_written_again(url: str, photos: Path, suffix: str) -> None:
    names = [photos / "0.jpg", put(photos / 'a "strange"\nname, this.jpg', '7:a "cat",'), photos / "1.jpg"]
    out, command = Path(f"answers{suffix}"), (*names, "--url", url, "--model", MODEL, "--out", f"answers{suffix}")
    run(*command)
    whole = out.read_bytes()
    for length in range(len(whole)):
        out.write_bytes(whole[:length])
        assert run(*command).exit_code == 0
        assert out.read_bytes() == whole, length


def test_all_done_is_done(service: Service, url: str, photos: Path) -> None:
    command = (photos, "--url", url, "--model", MODEL, "--out", "answers.jsonl")
    run(*command)
    asked = len(service.asked("ModelInfer"))
    assert run(*command).stderr == "answers.jsonl: 0 images classified, 0 rejected; 10 were there before\n"
    assert len(service.asked("ModelInfer")) == asked


@pytest.mark.parametrize("options", [("--top-k", 3), ("--model", "Another")], ids=str)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_answers_of_other_kinds_are_not_mixed(url: str, photos: Path, suffix: str, options: Any) -> None:
    out = Path(f"answers{suffix}")
    run(photos, "--url", url, "--model", MODEL, "--out", out)
    before = out.read_bytes()
    result = run(photos, "--url", url, "--model", MODEL, "--out", out, *options)
    assert result.exit_code == 1
    assert re.search(
        f"{out} has answers (with 5 classes each|of {MODEL}), not of .*; give another --out", result.stderr
    )
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        "a diary\n",
        "a diary, no end of a line",
        '{"image": 1}\n',
        '[{"image": "x", "labels": []}]',
        "[]\n",
        "\x00\n",
        "a,b\n1,2\n",
        'an odd "number of quotes\n1,2\n3,4\n',
    ],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_file_of_something_else_is_left_alone(url: str, photos: Path, suffix: str, content: str) -> None:
    out = Path(f"diary{suffix}")
    out.write_text(content)
    result = run(photos, "--url", url, "--model", MODEL, "--out", out)
    assert result.exit_code == 1
    assert "isn't a file of answers; give another --out" in result.stderr
    assert out.read_text() == content


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("answers.txt", "must end with .jsonl, .csv, .parquet"),
        ("answers", "must end with"),
        ("nowhere/answers.csv", "there is no folder"),
        ("photos", "is a directory"),
    ],
)
def test_where_answers_cannot_be_kept(service: Service, url: str, photos: Path, out: str, said: str) -> None:
    result = run(photos, "--url", url, "--model", MODEL, "--out", out)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not service.requests


def test_parquet_without_its_package(url: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    result = run(photos, "--url", url, "--model", MODEL, "--out", "answers.parquet")
    assert result.exit_code == 2
    assert "pip install 'tritonclas[parquet]'" in result.stderr


def test_a_parquet_file_that_is_there_is_left_alone(url: str, photos: Path) -> None:
    Path("answers.parquet").write_text("precious")
    result = run(photos, "--url", url, "--model", MODEL, "--out", "answers.parquet")
    assert result.exit_code == 1
    assert "isn't a file of answers" in result.stderr
    assert Path("answers.parquet").read_text() == "precious"


def test_a_finished_parquet_file_is_finished(service: Service, url: str, photos: Path) -> None:
    command = (photos, "--url", url, "--model", MODEL, "--out", "answers.parquet")
    run(*command)
    Path("answers.parquet.part").write_text("killed before it was removed")
    asked = len(service.asked("ModelInfer"))
    result = run(*command)
    assert (result.exit_code, len(service.asked("ModelInfer"))) == (0, asked)
    assert result.stderr == "answers.parquet: 0 images classified, 0 rejected; 10 were there before\n"
    assert not Path("answers.parquet.part").exists()
    put(photos / "new.jpg", 7)
    result = run(*command)
    assert result.exit_code == 1
    assert "answers.parquet is finished, and can't be added to; give another --out" in result.stderr


def test_a_folder_that_cannot_be_read_is_named(url: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if path.endswith("more"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    result = run(photos, "--recursive", "--url", url, "--model", MODEL, "--out", "answers.jsonl")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: photos/more can't be read (Permission denied)\n")
    assert len(rows(Path("answers.jsonl"))) == 10


@SUFFIXES
def test_names_that_are_no_text(url: str, photos: Path, suffix: str) -> None:
    name = os.fsencode(photos) + b"/\xff\xfe.jpg"
    Path(os.fsdecode(name)).write_bytes(image(77))
    command = (photos, "--url", url, "--model", MODEL, "--out", f"answers{suffix}")
    assert run(*command).exit_code == 0
    if suffix == ".parquet":
        assert rows(Path("answers.parquet"))[-1][0] == "photos/\\xff\\xfe.jpg"
    assert run(*command).stderr.endswith("0 images classified, 0 rejected; 11 were there before\n")


def test_names_that_are_no_text_in_the_terminal(url: str, photos: Path) -> None:
    name = os.fsencode(photos) + b"/\xff\xfe.jpg"
    Path(os.fsdecode(name)).write_bytes(image(77))
    command = [sys.executable, "-m", "tritonclas", "classify", name, "--url", url, "--model", MODEL]
    done = subprocess.run(command, env=os.environ | {"PYTHONIOENCODING": "utf-8"}, capture_output=True, check=True)
    assert done.stdout.startswith(name)


def test_a_model_of_few_classes(service: Service, url: str, photos: Path) -> None:
    """It answers fewer than are asked for."""

    def two(request: Any, context: Any) -> Any:
        request.outputs[0].parameters["classification"].int64_param = 2
        return infer(request, context)

    for out in ("answers.jsonl", "answers.csv"):
        command = (photos, "--url", url, "--model", MODEL, "--out", out, "--batch-size", 1, "--in-flight", 1)
        service.answers["ModelInfer"] = Failing(3, two)
        assert run(*command).exit_code == 1
        service.answers["ModelInfer"] = two
        assert run(*command).exit_code == 0
        assert rows(Path(out)) == of_folder(photos)
    widths = {len(row) for row in csv.reader(Path("answers.csv").read_text().splitlines())}
    assert widths == {4 + 3 * 5}


def test_rejections_of_the_first_run_count_in_the_second(url: str, photos: Path) -> None:
    (photos / "5.jpg").write_text("text")
    command = (photos, "--url", url, "--model", MODEL, "--out", "answers.jsonl")
    assert run(*command).exit_code == 1
    result = run(*command)
    assert result.exit_code == 1
    assert result.stderr.endswith("0 images classified, 0 rejected; 10 were there before, 1 of them rejected\n")


def test_a_picture_that_is_named_twice_has_one_row(url: str, photos: Path) -> None:
    run(photos, photos / "1.jpg", photos, "--url", url, "--model", MODEL, "--out", "answers.jsonl")
    assert rows(Path("answers.jsonl")) == of_folder(photos)


@pytest.mark.parametrize("recursive", [False, True])
def test_a_folder_without_pictures_is_named(url: str, tmp_path: Path, recursive: bool) -> None:
    options = ("--recursive",) if recursive else ()
    result = run(tmp_path, "--url", url, "--model", MODEL, *options)
    hint = "" if recursive else "; --recursive looks into its folders too"
    assert (result.exit_code, result.stderr) == (1, f"Error: there are no pictures in {tmp_path}{hint}\n")


def test_what_is_no_file_is_no_picture(url: str, photos: Path) -> None:
    os.mkfifo(photos / "fifo.jpg")
    (photos / "folder.jpg").mkdir()
    run(photos, "--url", url, "--model", MODEL, "--out", "answers.jsonl")
    assert rows(Path("answers.jsonl")) == of_folder(photos)


def test_two_runs_do_not_write_the_same_file(service: Service, url: str, photos: Path) -> None:
    hang = service.answers["ModelInfer"] = Hang(infer)
    command = (photos, "--url", url, "--model", MODEL, "--out", "answers.jsonl")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(subprocess.run, program(*command), check=True, stderr=subprocess.DEVNULL)
        assert hang.arrived.wait(30)
        result = run(*command)
        hang.release()
        first.result()
    assert result.exit_code == 1
    assert "answers.jsonl is being written to by another run" in result.stderr
    assert rows(Path("answers.jsonl")) == of_folder(photos)


@pytest.mark.parametrize(("suffix", "kept"), [(".jsonl", ""), (".csv", ""), (".parquet", ".part")])
def test_a_full_disk_is_said_in_one_line(url: str, photos: Path, suffix: str, kept: str) -> None:
    command = program(photos, "--url", url, "--model", MODEL, "--out", f"answers{suffix}", "--top-k", 50)
    limited = ["bash", "-c", 'ulimit -f 4; exec "$@"', "-", *command]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: answers{suffix}{kept} can't be written (File too large); ")
    assert len(done.stderr.splitlines()) == 1
    assert subprocess.run(command, check=True, capture_output=True).returncode == 0
    assert rows(Path(f"answers{suffix}")) == of_folder(photos)


def test_a_file_that_may_not_be_written_is_said_in_one_line(url: str, photos: Path) -> None:
    result = run(photos, "--url", url, "--model", MODEL, "--out", "/proc/answers.jsonl")
    assert result.exit_code == 1
    assert re.fullmatch(r"Error: /proc/answers.jsonl can't be written \(.*\); 0 rows are in it\n", result.stderr)


def test_an_unknown_model_leaves_no_file(service: Service, url: str, photos: Path) -> None:
    service.answers["ModelConfig"] = refuse(grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'X' is not found")
    result = run(photos, "--url", url, "--model", "X", "--out", "answers.jsonl")
    assert result.exit_code == 1
    assert "is not found" in result.stderr
    assert "goes on" not in result.stderr
    assert not Path("answers.jsonl").exists()


def test_json_and_out_exclude_each_other(url: str, photos: Path) -> None:
    result = run(photos, "--url", url, "--model", MODEL, "--out", "answers.jsonl", "--json")
    assert result.exit_code == 2


def test_links_in_a_circle_have_an_end(url: str, photos: Path) -> None:
    (photos / "more" / "back").symlink_to(photos.absolute(), target_is_directory=True)
    run(photos, "--recursive", "--url", url, "--model", MODEL, "--out", "answers.jsonl")
    assert len(rows(Path("answers.jsonl"))) == 20


def program(*arguments: object) -> list[str]:
    """The command as a program of its own."""
    return [sys.executable, "-m", "tritonclas", "classify", *map(str, arguments)]


def waiting(condition: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + 30
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)])
def test_interrupted_it_is_gone_on_with(
    service: Service, url: str, photos: Path, sent: signal.Signals, status: int
) -> None:
    hang = Hang(infer)
    service.answers["ModelInfer"] = lambda request, context: (infer if int(contents(request)[0]) < 3 else hang)(
        request, context
    )
    options = ("--url", url, "--model", MODEL, "--out", "answers.jsonl", "--batch-size", "1", "--in-flight", "2")
    command = program(photos, *options)
    out = Path("answers.jsonl")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert waiting(lambda: out.exists() and out.read_text().count("\n") == 3)
        process.send_signal(sent)
        _, said = process.communicate(timeout=30)
    hang.release()
    assert process.returncode == status
    assert "Traceback" not in said
    if sent == signal.SIGINT:
        assert "interrupted; 3 rows are in answers.jsonl, the same command goes on" in said
    service.answers["ModelInfer"] = infer
    assert run(photos, *options).exit_code == 0
    assert rows(out) == of_folder(photos)
