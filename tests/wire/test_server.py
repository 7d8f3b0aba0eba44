"""The server's health, models and statistics over real gRPC."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.wire.scripted import MODEL, Hang, Service, refuse
from tritonclas import (
    AccessDenied,
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    ModelServer,
    ModelStatus,
    ServerUnavailable,
    TritonClasError,
)

Connect = Callable[..., ModelServer]

NOT_FOUND = refuse(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{MODEL}' is not found")
NOT_LOADED = refuse(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{MODEL}' has no available versions")
RESTRICTED = refuse(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'admin-key'")


def test_live_and_ready(control: ModelServer) -> None:
    assert (control.live(), control.ready(), control.ready(MODEL)) == (True, True, True)


def test_questions_about_a_model_name_it(service: Service, control: ModelServer) -> None:
    control.ready(MODEL)
    assert [request.name for request in service.asked("ModelReady")] == [MODEL]


@pytest.mark.parametrize("answer", [NOT_FOUND, NOT_LOADED, lambda request, context: pb.ModelReadyResponse(ready=False)])
def test_a_model_that_is_not_ready(service: Service, control: ModelServer, answer: Any) -> None:
    service.answers["ModelReady"] = answer
    assert not control.ready(MODEL)
    assert control.ready()


def test_nobody_is_neither_live_nor_ready(nobody: str, connect_server: Connect) -> None:
    control = connect_server(nobody)
    assert (control.live(), control.ready(), control.ready(MODEL)) == (False, False, False)


def test_a_server_that_hangs_is_not_live(service: Service, url: str, connect_server: Connect) -> None:
    service.answers["ServerLive"] = Hang(service.answers["ServerLive"])
    assert not connect_server(url, timeout_s=0.2).live()


def test_health_behind_a_key_is_no_yes_and_no_no(service: Service, control: ModelServer) -> None:
    service.answers["ServerLive"] = RESTRICTED
    with pytest.raises(AccessDenied, match="admin-key"):
        control.live()


def test_wait_ready(service: Service, control: ModelServer) -> None:
    answers = iter([NOT_LOADED, NOT_LOADED, service.answers["ModelReady"]])

    def answer(*arguments: Any) -> Any:
        return next(answers)(*arguments)

    service.answers["ModelReady"] = answer
    control.wait_ready([MODEL])
    assert len(service.asked("ModelReady")) == 3


def test_wait_ready_gives_up(service: Service, control: ModelServer) -> None:
    service.answers["ModelReady"] = NOT_LOADED
    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=rf"{control.url}: {MODEL} isn't ready after 0\.3 s"):
        control.wait_ready([MODEL], timeout_s=0.3)
    assert time.monotonic() - begin < 3


def test_version(control: ModelServer) -> None:
    assert control.version() == "2.51.0"


def test_models(service: Service, control: ModelServer) -> None:
    index = pb.RepositoryIndexResponse.ModelIndex
    found = [index(name=MODEL, version="1", state="READY"), index(name="X", reason="no weights", state="UNAVAILABLE")]
    service.answers["RepositoryIndex"] = lambda request, context: pb.RepositoryIndexResponse(models=found)
    assert control.models() == [ModelStatus(MODEL, "1", "READY", ""), ModelStatus("X", "", "UNAVAILABLE", "no weights")]


def test_load_and_unload(service: Service, control: ModelServer) -> None:
    service.answers["RepositoryModelLoad"] = lambda request, context: pb.RepositoryModelLoadResponse()
    service.answers["RepositoryModelUnload"] = lambda request, context: pb.RepositoryModelUnloadResponse()
    control.load(MODEL)
    control.unload(MODEL)
    (_, load), (_, unload) = service.requests
    assert (load.model_name, unload.model_name) == (MODEL, MODEL)
    assert unload.parameters["unload_dependents"].bool_param


def test_load_with_another_configuration(service: Service, control: ModelServer) -> None:
    service.answers["RepositoryModelLoad"] = lambda request, context: pb.RepositoryModelLoadResponse()
    control.load(MODEL, config=control.config(MODEL) | {"max_batch_size": 2})
    ((_, request),) = (each for each in service.requests if each[0] == "RepositoryModelLoad")
    sent = json.loads(request.parameters["config"].string_param)
    assert sent["max_batch_size"] == 2
    assert [step["model_name"] for step in sent["ensemble_scheduling"]["step"]] == [
        "preprocess_256_224_cubic",
        f"{MODEL}_net",
    ]


def test_log_settings(service: Service, control: ModelServer) -> None:
    def answer(request: Any, context: Any) -> Any:
        held = pb.LogSettingsResponse()
        held.settings["log_info"].bool_param = True
        for name, value in request.settings.items():
            held.settings[name].MergeFromString(value.SerializeToString())
        return held

    service.answers["LogSettings"] = answer
    assert control.log_settings() == {"log_info": True}
    changes = {"log_verbose_level": 1, "log_info": False, "log_format": "ISO8601"}
    assert control.log_settings(changes) == changes
    with pytest.raises(
        InvalidRequest, match="log settings are bools, strings and ints from 0 on, and log_file is none"
    ):
        control.log_settings({"log_file": None})  # type: ignore[dict-item]
    with pytest.raises(InvalidRequest, match="log_verbose_level is none"):
        control.log_settings({"log_verbose_level": -1})


def test_trace_settings(service: Service, control: ModelServer) -> None:
    def answer(request: Any, context: Any) -> Any:
        held = pb.TraceSettingResponse()
        held.settings["trace_rate"].value.append("1000")
        for name, setting in request.settings.items():
            held.settings[name].CopyFrom(pb.TraceSettingResponse.SettingValue(value=setting.value))
        return held

    service.answers["TraceSetting"] = answer
    assert control.trace_settings() == {"trace_rate": ("1000",)}
    changes: dict[str, Any] = {"trace_level": ["TIMESTAMPS", "TENSORS"], "trace_rate": "1", "trace_count": None}
    held = control.trace_settings(MODEL, changes)
    assert held == {"trace_level": ("TIMESTAMPS", "TENSORS"), "trace_rate": ("1",), "trace_count": ()}
    assert [request.model_name for request in service.asked("TraceSetting")] == ["", MODEL]
    for wrong in (7, 0, [7], {}):
        with pytest.raises(
            InvalidRequest, match="a trace setting is a string, several, or None, and trace_rate is none"
        ):
            control.trace_settings(MODEL, {"trace_rate": wrong})  # type: ignore[dict-item]


def test_a_configuration_that_json_doesnt_know(control: ModelServer) -> None:
    with pytest.raises(InvalidRequest, match="can't be written as JSON"):
        control.load(MODEL, config={"a": {1}})


@pytest.mark.parametrize("url", [["localhost:1", "localhost:2"], "dns:///localhost:8001"])
def test_one_server_at_a_time(url: Any, connect_server: Connect) -> None:
    with pytest.raises(InvalidRequest, match="looks after one server"):
        connect_server(url)


@pytest.mark.parametrize(("name", "asked"), [(None, ""), (MODEL, MODEL)])
def test_statistics(service: Service, control: ModelServer, name: str | None, asked: str) -> None:
    sizes = [pb.InferBatchStatistics(batch_size=4, compute_infer=pb.StatisticDuration(count=2))]
    stats = [pb.ModelStatistics(name=MODEL, version="1", inference_count=8, execution_count=2, batch_stats=sizes)]
    service.answers["ModelStatistics"] = lambda request, context: pb.ModelStatisticsResponse(model_stats=stats)
    (found,) = control.statistics(name)
    assert (found.name, found.inferences, found.executions, found.batch_sizes) == (MODEL, 8, 2, {4: 2})
    assert [request.name for request in service.asked("ModelStatistics")] == [asked]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(NOT_FOUND, ModelNotFound), (RESTRICTED, AccessDenied)],
    ids=["unknown", "restricted"],
)
def test_a_refused_load(service: Service, control: ModelServer, answer: Any, kind: type[TritonClasError]) -> None:
    service.answers["RepositoryModelLoad"] = answer
    with pytest.raises(kind, match=f"{MODEL} at {control.url}: ") as caught:
        control.load(MODEL)
    assert (caught.value.model, caught.value.endpoint, caught.value.attempts) == (MODEL, control.url, 1)


def test_errors_without_a_model_name_the_server(nobody: str, connect_server: Connect) -> None:
    with pytest.raises(ServerUnavailable, match=f"^{nobody}: no server listens"):
        connect_server(nobody).models()


def test_the_deadline_holds(service: Service, control: ModelServer) -> None:
    service.answers["RepositoryModelLoad"] = Hang(service.answers["ServerLive"])
    with pytest.raises(DeadlineExceeded):
        control.load(MODEL, timeout_s=0.2)


def test_a_closed_server_client_says_so(control: ModelServer) -> None:
    control.close()
    control.close()
    with pytest.raises(TritonClasError, match="closed"):
        control.version()


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000",
        "localhost",
        "localhost:",
        ":8001",
        "localhost:grpc",
        "²:²",
        "localhost:0",
        "localhost:65536",
    ],
)
def test_endpoints(url: str, connect_server: Connect) -> None:
    with pytest.raises(InvalidRequest, match="isn't a gRPC endpoint; give HOST:PORT"):
        connect_server(url)


@pytest.mark.parametrize("url", ["localhost:8001", "10.0.0.1:8001", "[::1]:8001", "triton.example:443"])
def test_no_connection_is_made_before_it_is_needed(url: str, asynchronous: bool, connect_server: Connect) -> None:
    kind = "AsyncModelServer" if asynchronous else "ModelServer"
    assert repr(connect_server(url)) == f"{kind}({url!r})"
