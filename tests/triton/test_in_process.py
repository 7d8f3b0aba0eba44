"""The host that runs a backend's model.py inside tritonserver, with a backend that does whatever it is told."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton

from scripts.embedded import EmbeddedServer
from scripts.errors import ServerError

TYPES = ("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BOOL")

MODEL = """
import json
import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    running = most = 0
    lock = threading.Lock()

    def initialize(self, args):
        config = json.loads(args["model_config"])
        if "broken" in config["parameters"]:
            raise RuntimeError("broken as it was told to be")
        self.name = args["model_name"], args["model_version"], args["model_instance_kind"]

    def execute(self, requests):
        (request,) = requests
        word = pb_utils.get_input_tensor_by_name(request, "word").as_numpy().ravel()
        first = word[0].decode()
        if first == "raise":
            raise KeyError("told to")
        if first == "refuse":
            error = pb_utils.TritonError("not today", pb_utils.TritonError.INVALID_ARG)
            return [pb_utils.InferenceResponse(error=error)]
        if first == "nothing":
            return []
        if first == "nap":
            time.sleep(0.01)
        if first == "sleep":
            self.count(1)
            time.sleep(0.3)
            self.count(-1)
        told = [TritonPythonModel.most, len(word), sum(map(len, word))]
        outputs = [pb_utils.Tensor("told", np.array([told] * len(word), np.int64))]
        for tensor in request.inputs():
            if tensor.name() != "word":
                outputs.append(pb_utils.Tensor("out_" + tensor.name(), tensor.as_numpy()[:, ::-1]))
        return [pb_utils.InferenceResponse(outputs)]

    def count(self, change):
        with self.lock:
            TritonPythonModel.running += change
            TritonPythonModel.most = max(TritonPythonModel.most, self.running)
"""


def _config(**extra: Any) -> str:
    kinds = {"input": "", "output": "out_"}
    parts = ['backend: "obedient"', "max_batch_size: 8", "instance_group { count: 2 kind: KIND_CPU }"]
    parts.append('input { name: "word" data_type: TYPE_STRING dims: [1] }')
    parts.append('output { name: "told" data_type: TYPE_INT64 dims: [3] }')
    for kind, prefix in kinds.items():
        parts += [
            f'{kind} {{ name: "{prefix}{name.lower()}" data_type: TYPE_{name} dims: [3, 2] '
            + ("optional: true }" if kind == "input" else "}")
            for name in TYPES
        ]
    parts += [f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in extra.items()]
    return "\n".join(parts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("obedient")
    backend = folder / "backends" / "obedient"
    backend.mkdir(parents=True)
    (backend / "model.py").write_text(textwrap.dedent(MODEL))
    polite = folder / "backends" / "polite"
    polite.mkdir()
    (polite / "model.py").write_text(textwrap.dedent(MODEL) + "    GIVES_WAY = True\n")
    missing = folder / "backends" / "missing"
    missing.mkdir()
    (missing / "model.py").write_text("import nothing_like_it\n")
    configs = {"good": _config(), "bad": _config(broken=1)}
    configs |= {name: _config().replace("obedient", name) for name in ("polite", "missing")}
    for name, config in configs.items():
        (folder / "models" / name / "1").mkdir(parents=True)
        (folder / "models" / name / "config.pbtxt").write_text(config)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Any]:
    with (
        EmbeddedServer(["good", "polite"], folder / "models", backends=folder / "backends") as server,
        triton.InferenceServerClient(server.url) as connected,
    ):
        connected.process = psutil.Process(server.process.pid)
        yield connected


def _word(*words: str) -> Any:
    tensor = triton.InferInput("word", [len(words), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[word.encode()] for word in words], object))
    return tensor


def test_all_types_arrive_and_return(client: Any) -> None:
    inputs, expected = [_word("a", "bc")], {}
    for name in TYPES:
        array = np.arange(12).reshape(2, 3, 2).astype(triton.triton_to_np_dtype(name))
        inputs.append(triton.InferInput(name.lower(), [2, 3, 2], name))
        inputs[-1].set_data_from_numpy(array)
        expected[f"out_{name.lower()}"] = array[:, ::-1]
    result = client.infer("good", inputs)
    for name, array in expected.items():
        np.testing.assert_array_equal(result.as_numpy(name), array)
        assert result.as_numpy(name).dtype == array.dtype
    assert result.as_numpy("told")[:, 1:].tolist() == [[2, 3]] * 2


def test_an_error_is_the_requests_own_and_the_server_goes_on(client: Any) -> None:
    for word, message in {
        "raise": "INTERNAL.*KeyError: 'told to'",
        "refuse": "INVALID_ARGUMENT.*not today",
        "nothing": "INTERNAL.*ValueError",
    }.items():
        with pytest.raises(triton.InferenceServerException, match=message):
            client.infer("good", [_word(word)])
    assert client.infer("good", [_word("still here")]).as_numpy("told")[0, 2] == 10


def test_as_many_requests_at_once_as_there_are_cores(client: Any) -> None:
    cores = len(psutil.Process().cpu_affinity() or [1])

    def most_at_once(_: int) -> int:
        return int(client.infer("good", [_word("sleep")]).as_numpy("told")[0, 0])

    with ThreadPoolExecutor(3 * cores) as pool:
        assert max(pool.map(most_at_once, range(3 * cores))) == cores


def test_who_gives_way_waits_for_those_who_have_more_than_the_cores_can_do_but_not_for_long(client: Any) -> None:
    cores = len(psutil.Process().cpu_affinity() or [1])

    def waited_s(word: str, times: int = 5) -> float:
        """The shortest time in the queue of so many requests."""
        return min(_spent_s(client, "polite", word)["queue"] for _ in range(times))

    assert waited_s("alone") < 0.015
    with ThreadPoolExecutor(6 * cores) as pool:
        asked = [pool.submit(client.infer, "good", [_word("sleep")]) for _ in range(6 * cores)]
        time.sleep(0.1)  # a sixth of them are at work
        waited_s("nap", 1)  # from now on it is known that jobs take a while
        assert 0.05 < waited_s("with others", 1) < 0.5
        for each in asked:
            each.result()


def test_statistics_have_queue_and_computing_time(client: Any) -> None:
    spent_s = _spent_s(client, "good", "sleep")
    assert 0.3 <= spent_s["compute_infer"] <= spent_s["success"]
    assert 0 <= spent_s["queue"] <= spent_s["success"] - spent_s["compute_infer"]


def _spent_s(client: Any, model: str, word: str) -> dict[str, float]:
    """What Triton's statistics gain by a request, in seconds."""

    def statistics() -> Any:
        return client.get_inference_statistics(model, as_json=True)["model_stats"][0]["inference_stats"]

    def gained(part: str, unit: str) -> int:
        return int(after[part].get(unit, 0)) - int(before[part].get(unit, 0))

    before = statistics()
    client.infer(model, [_word(word)])
    for _ in range(50):  # it counts a moment after it has answered
        after = statistics()
        if gained("success", "count"):
            break
        time.sleep(0.02)
    return {part: gained(part, "ns") / 1e9 for part in ("queue", "compute_infer", "success")}


def test_memory_stays_as_it_is(client: Any) -> None:
    large = triton.InferInput("fp64", [8, 3, 2], "FP64")
    large.set_data_from_numpy(np.zeros((8, 3, 2)))

    def ask(times: int) -> int:
        for index in range(times):
            words = _word(*["x" * 20000] * 8)
            if index % 5:
                client.infer("good", [words, large])
            else:
                with pytest.raises(triton.InferenceServerException):
                    client.infer("good", [_word("raise")])
        return int(client.process.memory_info().rss)

    before = ask(400)
    assert ask(400) - before < 8 * 2**20  # a leak of the words alone would be 50 MB


def test_a_model_that_cant_start_says_why(folder: Path) -> None:
    with (
        pytest.raises(ServerError, match="RuntimeError: broken as it was told to be"),
        EmbeddedServer(["bad"], folder / "models", backends=folder / "backends"),
    ):
        pass


def test_a_backend_that_cant_be_imported_says_why(folder: Path) -> None:
    with (
        pytest.raises(ServerError, match="No module named 'nothing_like_it'"),
        EmbeddedServer(["missing"], folder / "models", backends=folder / "backends"),
    ):
        pass


def test_a_model_can_be_unloaded_and_loaded_again(client: Any) -> None:
    client.unload_model("good")
    for _ in range(100):
        if not client.is_model_ready("good"):
            break
        time.sleep(0.05)
    client.load_model("good")
    assert client.infer("good", [_word("back")]).as_numpy("told")[0, 1] == 1
