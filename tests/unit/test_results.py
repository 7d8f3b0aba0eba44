"""What answers look like to a caller."""

from __future__ import annotations

import dataclasses
import json
import pickle
import struct
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from tritonclas import Classification, Label, ModelStatistics, ModelStatus, Timing, _messages
from tritonclas.results import SYNTHETIC_LABEL

CAT = Classification(
    (Label(282, 0.385, "tiger cat"), Label(285, 0.363, "Egyptian cat")),
    "EfficientNetB0",
    "1",
    request_id="5eed",
    timing=Timing(0.001, 0.02, 1),
)


def answer(shape: list[int], texts: list[str]) -> Any:
    content = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    tensor = pb.ModelInferResponse.InferOutputTensor(name="probabilities", datatype="BYTES", shape=shape)
    return pb.ModelInferResponse(model_version="3", outputs=[tensor], raw_output_contents=[content])


def test_top_is_the_first_label() -> None:
    assert CAT.top == Label(282, 0.385, "tiger cat")


def test_plain_values_go_through_json() -> None:
    assert json.loads(json.dumps(CAT.to_dict())) == {
        "labels": [
            {"index": 282, "score": 0.385, "name": "tiger cat"},
            {"index": 285, "score": 0.363, "name": "Egyptian cat"},
        ],
        "model": "EfficientNetB0",
        "version": "1",
        "request_id": "5eed",
        "timing": {"prepare_s": 0.001, "request_s": 0.02, "attempts": 1},
    }


def test_it_shows_what_it_is() -> None:
    assert repr(CAT) == "<Classification by EfficientNetB0 version 1: tiger cat 0.385, Egyptian cat 0.363>"
    many = Classification(tuple(Label(index, 0.2, "") for index in range(5)), "X", "2")
    assert repr(many) == "<Classification by X version 2: 0 0.200, 1 0.200, 2 0.200, … 5 in all>"


def test_names_that_are_given_take_the_place_of_the_servers() -> None:
    (found,) = _messages.classifications("X", ["rose", "tulip"], answer([1, 2], ["0.5:1:drake", "0.25:0"]), "id")
    assert [label.name for label in found.labels] == ["tulip", "rose"]
    assert found.request_id == "id"


@pytest.mark.parametrize(("name", "synthetic"), [(f"{SYNTHETIC_LABEL} 7", True), ("tiger cat", False), ("", False)])
def test_random_weights_are_recognised(name: str, synthetic: bool) -> None:
    assert Classification((Label(7, 0.5, name),), "X", "1").synthetic is synthetic


@pytest.mark.parametrize("state", ["READY", "LOADING", "UNLOADING", "UNAVAILABLE", ""])
def test_only_ready_is_ready(state: str) -> None:
    assert ModelStatus("X", "1", state, "").ready is (state == "READY")


@pytest.mark.parametrize("value", [CAT, CAT.top, ModelStatus("X", "1", "READY", "")], ids=lambda v: type(v).__name__)
def test_results_are_frozen(value: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)


def test_classifications_are_cut_into_rows() -> None:
    texts = ["0.5:7:drake", "0.25:3:tiger shark, Galeocerdo cuvieri", "1:0:Ångström: a unit", "1e-05:999"]
    first, second = _messages.classifications("X", None, answer([2, 2], texts))
    assert first.labels == (Label(7, 0.5, "drake"), Label(3, 0.25, "tiger shark, Galeocerdo cuvieri"))
    assert second.labels == (Label(0, 1.0, "Ångström: a unit"), Label(999, 1e-05, ""))
    assert (first.model, first.version) == ("X", "3")


def test_probabilities_are_rows_of_float32() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = pb.ModelInferResponse.InferOutputTensor(name="probabilities", datatype="FP32", shape=[2, 3])
    rows = _messages.probabilities(pb.ModelInferResponse(outputs=[tensor], raw_output_contents=[values.tobytes()]))
    np.testing.assert_array_equal(np.stack(rows), values)
    assert rows[0].dtype == np.float32


def test_statistics_are_in_seconds() -> None:
    duration = pb.StatisticDuration(count=4, ns=1_500_000_000)
    success = pb.StatisticDuration(count=4, ns=2_000_000_000)
    infer = pb.InferStatistics(success=success, fail=pb.StatisticDuration(count=2), queue=duration)
    sizes = [
        pb.InferBatchStatistics(batch_size=size, compute_infer=pb.StatisticDuration(count=count, ns=7))
        for size, count in [(1, 4), (4, 1)]
    ]
    stats = pb.ModelStatistics(
        name="X", version="1", inference_count=8, execution_count=5, inference_stats=infer, batch_stats=sizes
    )
    (found,) = _messages.model_statistics(pb.ModelStatisticsResponse(model_stats=[stats]))
    assert found == ModelStatistics("X", "1", 8, 5, 4, 2, pytest.approx(2), pytest.approx(1.5), 0, 0, 0, {1: 4, 4: 1})


def test_statistics_of_a_model_that_has_computed_nothing() -> None:
    stats = pb.ModelStatistics(name="X", version="1")
    (found,) = _messages.model_statistics(pb.ModelStatisticsResponse(model_stats=[stats]))
    assert (found.success_s, found.batch_sizes) == (0.0, {})


def test_averages_are_per_request_and_per_batch() -> None:
    stats = ModelStatistics(
        name="X",
        version="1",
        inferences=12,
        executions=3,
        successes=4,
        failures=1,
        success_s=0.8,
        queue_s=0.2,
        compute_input_s=0.04,
        compute_infer_s=0.4,
        compute_output_s=0.08,
        batch_sizes={4: 3},
    )
    assert (stats.average_batch_size, stats.average_queue_s) == (4.0, pytest.approx(0.05))
    assert (stats.average_compute_s, stats.average_success_s) == (pytest.approx(0.13), pytest.approx(0.2))
    idle = dataclasses.replace(stats, executions=0, successes=0)
    averages = (idle.average_batch_size, idle.average_success_s, idle.average_queue_s, idle.average_compute_s)
    assert averages == (0.0, 0.0, 0.0, 0.0)


def test_statistics_are_values() -> None:
    """They can be sent to another process, put into sets, and shown as JSON."""
    stats, other = (ModelStatistics("X", "1", 8, 5, 4, 2, 2.0, 1.5, 0, 0, 0, {4: n}) for n in (2, 3))
    assert pickle.loads(pickle.dumps(stats)) == stats != other
    assert len({stats, dataclasses.replace(stats), other}) == 2
    assert json.loads(json.dumps(dataclasses.asdict(stats)))["batch_sizes"] == {"4": 2}
