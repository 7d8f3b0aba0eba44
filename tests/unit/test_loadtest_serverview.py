"""The server's view: what its counters say between two points in time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.cell import SERVER_STEPS
from loadtest.hardware import gauges, gpus_here, metrics_url
from loadtest.serverview import Parts, ServerView, Snapshot, seen
from tritonclas import ModelStatistics, ServerOverloaded, ServerUnavailable

ENSEMBLE = ModelStatistics(
    name="A",
    version="1",
    inferences=100,
    executions=50,
    successes=50,
    failures=0,
    success_s=1.0,
    queue_s=0.0,
    compute_input_s=0.0,
    compute_infer_s=0.0,
    compute_output_s=0.0,
    batch_sizes={2: 50},
)
NETWORK = replace(
    ENSEMBLE,
    name="A_net",
    executions=30,
    queue_s=0.1,
    compute_input_s=0.05,
    compute_infer_s=0.6,
    compute_output_s=0.05,
    batch_sizes={2: 10, 4: 20},
)
PREPROCESSING = replace(NETWORK, name="mine", queue_s=0.2, compute_infer_s=0.2)
PARTS = Parts("A", "A_net", "mine")
ENSEMBLES = {"A": ["mine", "A_net"]}


def later(stats: ModelStatistics, requests: int, each_ms: float) -> ModelStatistics:
    """After so many requests more, of each of which every step took `each_ms`."""
    more_s = requests * each_ms / 1000
    names = ("success_s", "queue_s", "compute_input_s", "compute_infer_s", "compute_output_s")
    return replace(
        stats,
        successes=stats.successes + requests,
        batch_sizes={**stats.batch_sizes, 2: stats.batch_sizes[2] + requests, 8: 0},
        **{name: getattr(stats, name) + more_s for name in names},
    )


def snapshot(at_s: float, *statistics: ModelStatistics) -> Snapshot:
    return Snapshot(at_s, {each.name: each for each in statistics})


BEGIN = snapshot(0.0, ENSEMBLE, NETWORK, PREPROCESSING)
END = snapshot(10.0, later(ENSEMBLE, 20, 40.0), later(NETWORK, 20, 5.0), later(PREPROCESSING, 20, 2.0))


def test_steps_are_averages_of_the_requests_in_between():
    found = seen(BEGIN, END, PARTS, ENSEMBLES)

    assert found is not None
    assert tuple(found.steps_ms) == SERVER_STEPS
    assert list(found.steps_ms.values()) == pytest.approx([2.0, 6.0, 5.0, 5.0, 5.0, 5.0])
    assert found.total_ms == pytest.approx(40.0)
    assert (found.requests, found.batch_sizes) == (20, {2: 20})


def test_pixels_go_to_the_network_without_preprocessing():
    found = seen(BEGIN, END, Parts("A_net", "A_net"), ENSEMBLES)

    assert found is not None
    assert (found.steps_ms["queue"], found.steps_ms["preprocess"]) == (0.0, 0.0)
    assert found.total_ms == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (BEGIN, BEGIN),  # nothing was answered
        (END, BEGIN),  # the server was started anew
        (BEGIN, snapshot(10.0, later(ENSEMBLE, 20, 40.0))),
        (Snapshot(0.0), END),
    ],
)
def test_what_the_server_doesnt_tell_is_unknown(begin, end):
    assert seen(begin, end, PARTS, ENSEMBLES) is None


def test_requests_from_outside_are_counted_once_whatever_models_are_called():
    others = [replace(ENSEMBLE, name=name) for name in ("B", "first", "second", "third")]
    begin = snapshot(0.0, ENSEMBLE, NETWORK, PREPROCESSING, *others)
    end = snapshot(
        10.0,
        later(ENSEMBLE, 20, 40.0),
        later(NETWORK, 23, 5.0),  # three came as pixels
        later(PREPROCESSING, 20, 2.0),
        *(later(each, 7, 40.0) for each in others),
    )

    for parts in (PARTS, Parts("A_net", "A_net")):
        assert seen(begin, end, parts, ENSEMBLES | {"B": ["first", "second", "third"]}).requests == 20 + 3 + 7


def test_requests_that_failed_behind_their_first_step_are_nobody_elses():
    begin = snapshot(0.0, ENSEMBLE, NETWORK, PREPROCESSING)
    refused = replace(later(ENSEMBLE, 20, 40.0), failures=18)  # 9, when the network's queue was full
    end = snapshot(10.0, refused, later(NETWORK, 20, 5.0), later(PREPROCESSING, 29, 2.0))

    assert seen(begin, end, PARTS, ENSEMBLES).requests == 20


class Server:
    """As much of one as is asked for statistics; busy at first."""

    asked = 0
    is_live = False

    def models(self):
        raise ServerUnavailable("no", model=None, endpoint="localhost:1", attempts=1)

    def statistics(self):
        self.asked += 1
        if self.asked == 1:
            raise ServerUnavailable("no", model=None, endpoint="localhost:1", attempts=1)
        return [ENSEMBLE]

    def live(self):
        return self.is_live


def test_a_server_that_doesnt_tell_once_may_do_so_again():
    view = ServerView(Server())

    assert view.ensembles == {}
    assert [view.snapshot().counters, view.snapshot().counters] == [{}, {"A": ENSEMBLE}]


def test_a_server_that_refuses_to_say_whether_it_lives_does():
    class Throttled(Server):
        def live(self):
            raise ServerOverloaded("no", model=None, endpoint="localhost:1", attempts=1)

    assert [ServerView(each).lives() for each in (Server(), Throttled())] == [False, True]


METRICS = """\
# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5
nv_gpu_utilization{gpu_uuid="GPU-2"} 0.7
# HELP nv_gpu_power_usage GPU power usage in watts
# TYPE nv_gpu_power_usage gauge
nv_gpu_power_usage{gpu_uuid="GPU-1"} 60.5
nv_gpu_power_usage{gpu_uuid="GPU-2"} 40
# HELP nv_gpu_memory_used_bytes GPU used memory, in bytes
# TYPE nv_gpu_memory_used_bytes gauge
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 1e9
# HELP nv_cpu_utilization CPU utilization rate [0.0 - 1.0]
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.25
# HELP nv_inference_count Number of inferences performed
# TYPE nv_inference_count counter
nv_inference_count{model="A",version="1"} 3
"""


def test_shares_are_averaged_over_gpus_and_amounts_added_up():
    assert gauges(METRICS) == {
        "gpu_utilization": pytest.approx(0.6),
        "gpu_power_usage": 100.5,
        "gpu_memory_used_bytes": 1e9,
        "cpu_utilization": 0.25,
    }


def test_metrics_are_at_the_port_after_grpcs():
    assert metrics_url("t4.example:8001") == "http://t4.example:8002/metrics"


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("Tesla T4, 550.54\n", ("Tesla T4", "550.54")),
        ("Tesla T4, 550.54\nTesla T4, 550.54\n", ("2 x Tesla T4", "550.54")),
        ("", None),
        (None, None),
    ],
)
def test_the_gpu_and_its_driver_are_nvidia_smis(listed, found):
    def run(*_, **__):
        if listed is None:
            raise FileNotFoundError
        return type("Done", (), {"stdout": listed})()

    assert gpus_here(run) == found
