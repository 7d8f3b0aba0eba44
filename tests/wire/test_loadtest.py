"""The load test as its user runs it: a process of its own against a server whose speed is known."""

from __future__ import annotations

import sys

import pytest

from tests.wire.slow_servicer import MODEL, NOT_LOADED, QUEUE_IS_FULL, SlowServicer, serving
from tests.wire.sweeping import USERS, command, results, run, sweep

LATENCY_S = 0.2

#: 8 users who never wait for each other get 40 answers a second; one after another, they get 5.
POSSIBLE_PER_S = USERS / LATENCY_S


def test_users_are_served_at_the_same_time_and_the_figures_are_the_servers(tmp_path):
    servicer = SlowServicer(LATENCY_S)

    done = sweep(servicer, tmp_path, batch_sizes="4", profile="t4-fp16", device="T4")

    assert done.returncode == 0, done.stderr
    (cell,) = results(tmp_path)["cells"]
    assert servicer.most_at_a_time == USERS
    assert 0.5 * POSSIBLE_PER_S < cell["requests_per_s"] < 1.1 * POSSIBLE_PER_S
    assert cell["images_per_s"] == pytest.approx(4 * cell["requests_per_s"])
    latency = cell["latency_ms"]
    assert 1000 * LATENCY_S <= latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"] <= latency["max"]
    assert cell["requests_per_s"] * latency["avg"] / 1000 == pytest.approx(USERS, rel=0.15)  # Little's law
    assert cell["requests"] >= 9 * USERS  # three for each user in each window
    assert (cell["failures"], cell["failure_kinds"], cell["synthetic"]) == (0, {}, False)
    assert (cell["server_ms"], cell["stable"]) == (None, True)
    assert 3 <= cell["windows"] <= 10
    assert 0 < cell["generator_cpu_percent"] < 150
    assert set(servicer.batches) == {(MODEL, 4)}
    header = results(tmp_path)["header"]
    assert (header["server_version"], header["profile"], header["device"]) == ("2.51.0", "t4-fp16", "T4")
    assert (header["duration_s"], header["warm_up_s"]) == (0.5, 0.3)
    assert f"| {MODEL} | 4 | {USERS} users | encoded |" in (tmp_path / "report.md").read_text()
    assert "</html>" in (tmp_path / "report.html").read_text()
    assert f"{cell['images_per_s']:.1f}" in done.stdout


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [(QUEUE_IS_FULL, "ServerOverloaded"), (NOT_LOADED, "ModelNotReady")],
    ids=["full", "not loaded"],
)
def test_failures_are_counted_by_their_kind_and_are_not_throughput(tmp_path, refusal, kind):
    """Also those that the SDK would otherwise have tried again."""
    servicer = SlowServicer(LATENCY_S, refuse_every=2, label="synthetic weights: class 281", refusal=refusal)
    done = sweep(servicer, tmp_path)

    assert done.returncode == 0, done.stderr
    (cell,) = results(tmp_path)["cells"]
    assert cell["failures"] == pytest.approx(cell["requests"] / 2, abs=USERS)
    assert cell["failure_kinds"] == {kind: cell["failures"]}
    assert 0.25 * POSSIBLE_PER_S < cell["requests_per_s"] < 0.6 * POSSIBLE_PER_S
    assert cell["synthetic"] is True


def test_a_cell_of_failures_only_has_no_latency_and_ends_with_status_1(tmp_path):
    done = sweep(SlowServicer(0.01, refuse_every=1), tmp_path)

    assert done.returncode == 1
    assert f"all requests failed in 1 of 1 cells: {MODEL}, batch 1, 8 users" in done.stderr.replace("\n", " ")
    (cell,) = results(tmp_path)["cells"]
    assert (cell["latency_ms"], cell["images_per_s"]) == (None, 0.0)
    assert cell["failures"] == cell["requests"] > 0


@pytest.mark.slow
def test_pictures_cropped_by_the_client_go_to_the_network(tmp_path):
    servicer = SlowServicer(0.01)

    done = sweep(servicer, tmp_path, inputs="pixels", batch_sizes="2")

    assert done.returncode == 0, done.stderr
    assert set(servicer.batches) == {(f"{MODEL}_net", 2)}
    assert results(tmp_path)["cells"][0]["input"] == "pixels"


def test_an_interrupted_sweep_goes_on_with_what_is_left(tmp_path):
    servicer = SlowServicer(0.02)
    with serving(servicer) as url:
        first = run(command(url, out=str(tmp_path), users="2"))
        servicer.batches.clear()
        again = run([*command(url, out=str(tmp_path), users="2,3", batch_sizes="1"), "--resume"])
        other = run([*command(url, out=str(tmp_path), users="2,3", duration="2"), "--resume"])

    assert (first.returncode, again.returncode) == (0, 0), again.stderr
    assert "1 of 2 cells are measured already" in again.stderr
    assert [cell["users"] for cell in results(tmp_path)["cells"]] == [2, 3]
    assert servicer.batches
    assert other.returncode == 1
    assert "was measured with duration s 0.5, this is 2.0; give --out another folder" in other.stderr


@pytest.mark.slow
def test_a_plan_is_a_sweep_of_its_own(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'models = ["{MODEL}"]\nbatch-sizes = [1]\nrates = [40]\narrivals = "poisson"\n'
        'duration = 1.0\nwarm-up = 0.3\nprocesses = 2\nmax-windows = 3\nmix = "imagenet=1,thumbnail=1"\n'
    )
    out = tmp_path / "out"
    with serving(SlowServicer(0.02)) as url:
        done = run([sys.executable, "-m", "loadtest.sweep", "--plan", str(plan), "--url", url, "--out", str(out)])

    assert done.returncode == 0, done.stderr
    (cell,) = results(out)["cells"]
    assert (cell["users"], cell["rate_per_s"], cell["arrivals"]) == (None, 40.0, "poisson")
    assert cell["requests_per_s"] == pytest.approx(40, rel=0.25)
    assert set(cell["by_size"]) == {"up to 0.05 MP", "up to 0.5 MP"}
    assert "2 processes" in results(out)["header"]["generator"]
    assert 'arrivals = "poisson"' in (out / "sweep.toml").read_text()


@pytest.mark.slow
def test_the_highest_rate_that_holds_an_objective_is_found(tmp_path):
    """Three threads that take 12 ms each answer up to 250 a second; beyond that requests wait."""
    options = {"users": "1", "duration": "0.3", "max_windows": "3", "slo": "p95=40ms"}
    with serving(SlowServicer(0.012), threads=3) as url:
        done = run(command(url, out=str(tmp_path), **options))

    assert done.returncode == 0, done.stderr
    (objective,) = results(tmp_path)["objectives"]
    capacity_per_s = 3 / 0.012
    assert 0.7 * capacity_per_s < objective["rate_per_s"] < 1.05 * capacity_per_s
    assert objective["rate_per_s"] < objective["broken_per_s"] < 1.3 * capacity_per_s
    assert "p95 of 40 ms is held up to" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": "EfficientNetB00"}, "there is no model 'EfficientNetB00'; did you mean EfficientNetB0?"),
        ({"models": f"{MODEL} EfficientNetB4"}, "EfficientNetB4 is UNAVAILABLE; load it first"),
        ({"batch_sizes": "8,16"}, f"{MODEL} takes at most 8 images a request; --batch-sizes has 16"),
        ({"images": "loadtest"}, "loadtest holds no picture that can be read"),
        ({"out": "README.md"}, "README.md can't be written to"),
        (
            {"metrics_url": "http://127.0.0.1:1/metrics"},
            "--metrics-url http://127.0.0.1:1/metrics: nobody answers there",
        ),
    ],
)
def test_mistakes_are_found_before_the_first_cell_and_told_in_one_line(tmp_path, options, message):
    servicer = SlowServicer()
    with serving(servicer) as url:
        done = run(command(url, **{"out": str(tmp_path / "out"), **options}))

    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not servicer.batches
    assert not (tmp_path / "out" / "results.json").exists()


def test_shared_memory_that_the_server_doesnt_share_isnt_measured(tmp_path):
    done = sweep(SlowServicer(0.01), tmp_path, inputs="encoded encoded-shm")

    assert done.returncode == 1
    assert "shares no memory with this process; images go over the connection" in done.stderr
    assert done.stderr.endswith("; leave encoded-shm out of --inputs\n")
    assert not (tmp_path / "results.json").exists()


def test_a_port_where_nobody_listens(tmp_path):
    done = run(command("127.0.0.1:1", out=str(tmp_path / "out")))

    assert done.returncode == 1
    assert done.stderr == "Error: 127.0.0.1:1: no server listens there (connection refused)\n"
    assert not (tmp_path / "out").exists()
