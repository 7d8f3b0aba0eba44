"""The command against a scripted server: what a user sees, on which stream, with which exit status."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import Result
from tritonclient.grpc import service_pb2 as pb

from tests.runner import command_runner
from tests.wire.scripted import MODEL, Hang, Service, image, refuse
from tritonclas.cli import main

UNKNOWN = refuse(grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'EfficientNetB9' is not found")


def run(*arguments: str) -> Result:
    return command_runner().invoke(main, arguments, env={"COLUMNS": "200"})


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file in the current folder that the scripted server takes for a tiger cat."""
    monkeypatch.chdir(tmp_path)
    return written(Path("cat.jpg"), image("282:tiger cat"))


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def assert_one_line_error(result: Result, *said: str) -> None:
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    for text in said:
        assert text in result.stderr


def index(service: Service, *models: tuple[str, str, str]) -> None:
    """Let the server's repository hold these: name, state, reason."""
    entry = pb.RepositoryIndexResponse.ModelIndex
    found = [entry(name=name, version="1", state=state, reason=reason) for name, state, reason in models]
    service.answers["RepositoryIndex"] = lambda request, context: pb.RepositoryIndexResponse(models=found)


def test_classify(url: str, picture: str) -> None:
    result = run("classify", picture, "--url", url, "--model", MODEL, "--top-k", "2")
    assert (result.exit_code, result.stderr) == (0, "")
    title, header, *rows = (line.split() for line in result.stdout.splitlines())
    assert title == ["cat.jpg", "·", MODEL]
    assert header == ["score", "class", "name"]
    assert rows == [["1.0000", "282", "tiger", "cat"], ["0.9900", "283", "tiger", "cat"]]


def test_a_long_path_stays_on_one_line(url: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"{'cat-' * 30}.jpg", image("282:tiger cat"))
    assert path in run("classify", path, "--url", url, "--model", MODEL).stdout


def test_json(url: str, picture: str, tmp_path: Path) -> None:
    bad = written(tmp_path / "bad.jpg", image("bad picture"))
    result = run("classify", picture, bad, "--url", url, "--model", MODEL, "--top-k", "1", "--json")
    assert result.exit_code == 1
    label = {"index": 282, "score": 1.0, "name": "tiger cat"}
    good, rejected = json.loads(result.stdout)
    assert rejected == {"image": bad, "error": "bad picture"}
    assert {key: good[key] for key in ("image", "labels", "model", "version")} == {
        "image": picture,
        "labels": [label],
        "model": MODEL,
        "version": "1",
    }
    assert good["timing"]["attempts"] == 2


def test_good_pictures_are_shown_when_others_are_bad(url: str, picture: str, tmp_path: Path) -> None:
    text = written(tmp_path / "text.jpg", image("bad: not a picture"))
    result = run("classify", "missing.jpg", picture, text, "--url", url, "--model", MODEL)
    assert result.exit_code == 1
    assert "tiger cat" in result.stdout
    assert result.stderr == f"Error: missing.jpg: no such file\nError: {text}: bad: not a picture\n"


@pytest.mark.parametrize("name", ["plain", "cat[old]", "cat[bold]", "cat[#]", ":cat:", "[link=x]"])
def test_names_are_shown_as_they_are(url: str, picture: str, name: str) -> None:
    """Rich takes square brackets for markup, and file names and labels may have them."""
    path = written(Path(f"{name}.jpg"), image(f"7:a {name} [/old]"))
    result = run("classify", path, "--url", url, "--model", MODEL, "--top-k", "1")
    assert result.exit_code == 0, result.exception
    title, _, row = (" ".join(line.split()) for line in result.stdout.splitlines())
    assert (title, row) == (f"{name}.jpg · {MODEL}", f"1.0000 7 a {name} [/old]")


@pytest.mark.parametrize("preprocess", ["server", "client"])
def test_a_text_file_named_jpg(url: str, tmp_path: Path, preprocess: str) -> None:
    text = written(tmp_path / "text.jpg", b"Dear Sir or Madam")
    result = run("classify", text, "--url", url, "--model", MODEL, "--preprocess", preprocess)
    assert_one_line_error(result, text, "not a picture in one of the formats JPEG")


def test_an_unknown_model_lists_near_ones(service: Service, url: str, picture: str) -> None:
    service.answers["ModelInfer"] = UNKNOWN
    index(service, (MODEL, "READY", ""), ("EfficientNetB8", "UNAVAILABLE", ""), ("EfficientNetB9_net", "READY", ""))
    result = run("classify", picture, "--url", url, "--model", "EfficientNetB9")
    assert_one_line_error(result, "EfficientNetB9 at", "is not found", f"did you mean {MODEL}?")
    assert "EfficientNetB8" not in result.stderr
    assert "_net" not in result.stderr


INDEXES = {
    "empty": lambda request, context: pb.RepositoryIndexResponse(),
    "restricted": refuse(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'key'"),
}


@pytest.mark.parametrize("answer", INDEXES.values(), ids=INDEXES)
def test_an_unknown_model_where_no_model_is_known(service: Service, url: str, picture: str, answer: Any) -> None:
    service.answers |= {"ModelInfer": UNKNOWN, "RepositoryIndex": answer}
    result = run("classify", picture, "--url", url, "--model", "EfficientNetB9")
    assert_one_line_error(result, "EfficientNetB9 at", "is not found")


@pytest.mark.parametrize("command", ["classify", "models", "stats"])
def test_a_stopped_server(nobody: str, picture: str, command: str) -> None:
    arguments = (picture, "--model", MODEL) if command == "classify" else ()
    assert_one_line_error(run(command, *arguments, "--url", nobody), nobody, "no server listens there")


class HttpHandler(socketserver.BaseRequestHandler):
    """What an HTTP/1.1 server says to gRPC."""

    def handle(self) -> None:
        self.request.recv(1024)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def http_url() -> Iterator[str]:
    """An HTTP server, as Triton has one on the port before the gRPC port."""
    with socketserver.TCPServer(("127.0.0.1", 0), HttpHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("command", ["classify", "models", "stats"])
def test_an_http_port(http_url: str, picture: str, command: str) -> None:
    arguments = (picture, "--model", MODEL) if command == "classify" else ()
    assert_one_line_error(run(command, *arguments, "--url", http_url), http_url, "gRPC port")


def test_a_server_that_hangs(service: Service, url: str, picture: str) -> None:
    service.answers["ModelInfer"] = Hang(service.answers["ModelInfer"])
    result = run("classify", picture, "--url", url, "--model", MODEL, "--timeout", "0.2")
    assert_one_line_error(result, "no answer within")


def test_models(service: Service, url: str) -> None:
    reason = "failed to load: [StatusCode.INTERNAL] no [weights] in [/models]"
    index(service, (MODEL, "READY", ""), (f"{MODEL}_net", "READY", ""), ("EfficientNetB1", "UNAVAILABLE", reason))
    result = run("models", "--url", url)
    assert (result.exit_code, result.stderr) == (0, ""), result.exception
    rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert rows == ["model version state", f"{MODEL} 1 READY", f"EfficientNetB1 1 UNAVAILABLE {reason}"]
    assert f"{MODEL}_net" in run("models", "--all", "--url", url).stdout
    names = [model["name"] for model in json.loads(run("models", "--url", url, "--json").stdout)]
    assert names == [MODEL, "EfficientNetB1"]


def test_load_and_unload(service: Service, url: str, tmp_path: Path) -> None:
    service.answers["RepositoryModelLoad"] = lambda request, context: pb.RepositoryModelLoadResponse()
    service.answers["RepositoryModelUnload"] = lambda request, context: pb.RepositoryModelUnloadResponse()
    result = run("load", "A", "B", "--url", url)
    assert (result.exit_code, result.stdout) == (0, "A: loaded\nB: loaded\n")
    result = run("unload", "A", "B", "--url", url)
    assert (result.exit_code, result.stdout) == (0, "A: unloaded\nB: unloaded\n")
    for name, text in (("c.pbtxt", "max_batch_size: 7"), ("c.json", '{"max_batch_size": 7}')):
        assert run("load", "A", "--url", url, "--config", written(tmp_path / name, text.encode())).exit_code == 0
        sent = json.loads(service.asked("RepositoryModelLoad")[-1].parameters["config"].string_param)
        assert sent == {"max_batch_size": 7}
    assert [request.model_name for request in service.asked("RepositoryModelLoad")] == ["A", "B", "A", "A"]


@pytest.mark.parametrize(("name", "content"), [("c.pbtxt", b"max: 7"), ("c.json", b"{"), ("c.json", b"\xff")])
def test_a_configuration_that_is_none(url: str, tmp_path: Path, name: str, content: bytes) -> None:
    path = written(tmp_path / name, content)
    assert_one_line_error(run("load", "A", "--url", url, "--config", path), f"{path} isn't a model configuration")


def test_a_configuration_is_of_one_model(url: str, tmp_path: Path) -> None:
    result = run("load", "A", "B", "--url", url, "--config", written(tmp_path / "c.json", b"{}"))
    assert result.exit_code == 2
    assert "--config is of one model" in result.stderr


def test_ready(service: Service, url: str, nobody: str) -> None:
    assert (run("ready", "--url", url).exit_code, run("ready", "--url", url).stdout) == (0, "the server: ready\n")
    service.answers["ModelReady"] = lambda request, context: pb.ModelReadyResponse(ready=request.name == MODEL)
    result = run("ready", MODEL, "EfficientNetB1", "--url", url)
    assert (result.exit_code, result.stdout) == (1, f"{MODEL}: ready\nEfficientNetB1: not ready\n")
    assert run("ready", MODEL, "--wait", "5", "--url", url).exit_code == 0
    assert_one_line_error(run("ready", "X", "--wait", "0.2", "--url", url), "X isn't ready after 0.2 s")
    assert run("ready", "--url", nobody).stdout == "the server: not ready\n"


def test_headers(service: Service, url: str, picture: str, tmp_path: Path) -> None:
    secret = written(tmp_path / "key.txt", b"s3cret\n")
    headers = ("--header", "tenant=a=b", "--header", f"Key=@{secret}")
    for command in (("classify", picture, "--model", MODEL), ("ready",)):
        assert run(*command, "--url", url, *headers).exit_code == 0
        assert (service.headers[-1]["tenant"], service.headers[-1]["key"]) == ("a=b", "s3cret")


@pytest.mark.parametrize(
    ("header", "why"), [("key", "give NAME=VALUE"), ("key=@missing.txt", "the file of the header key can't be read")]
)
def test_headers_that_are_none(url: str, header: str, why: str) -> None:
    result = run("models", "--url", url, "--header", header)
    assert result.exit_code == 2
    assert why in result.stderr


def test_several_servers(url: str, nobody: str, picture: str) -> None:
    both = ("--url", nobody, "--url", url)
    assert run("classify", picture, "--model", MODEL, *both).exit_code == 0
    result = run("models", *both)
    assert result.exit_code == 2
    assert "looks after one server; give one --url" in result.stderr


#: Images computed at once, and how often.
SIZES = [(4, 1), (2, 2)]


def test_stats(service: Service, url: str) -> None:
    duration = pb.StatisticDuration(count=4, ns=6_000_000)
    success = pb.StatisticDuration(count=4, ns=8_000_000)
    stats = pb.InferStatistics(success=success, queue=duration, compute_infer=pb.StatisticDuration(ns=2_000_000))
    sizes = [pb.InferBatchStatistics(batch_size=n, compute_infer=pb.StatisticDuration(count=c)) for n, c in SIZES]
    found = [
        pb.ModelStatistics(name=MODEL, inference_count=8, execution_count=3, inference_stats=stats, batch_stats=sizes)
    ]
    found.append(pb.ModelStatistics(name="idle"))
    service.answers["ModelStatistics"] = lambda request, context: pb.ModelStatisticsResponse(model_stats=found)
    result = run("stats", "--url", url)
    rows = [line.split() for line in result.stdout.splitlines()[1:]]
    assert rows[0] == [MODEL, "8", "3", "4", "0", "2.00", "1.50", "0.00", "0.50", "0.00"]
    assert rows[1:] == [["idle", "0", "0", "0", "0", "-", "-", "-", "-", "-"]]
    (one,) = json.loads(run("stats", MODEL, "--url", url, "--json").stdout)[:1]
    assert (one["success_s"], one["queue_s"]) == (pytest.approx(0.008), pytest.approx(0.006))
    assert one["batch_sizes"] == {"4": 1, "2": 2}
    assert [request.name for request in service.asked("ModelStatistics")] == ["", MODEL]
    of_one = run("stats", MODEL, "--url", url).stdout.splitlines()
    assert [line.split() for line in of_one[-3:]] == [["images", "at", "once", "batches"], ["2", "2"], ["4", "1"]]
