"""Capacity planning: the arithmetic by hand, the sources, the committed page, and what a user gets wrong."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.pictures import photograph
from loadtest.results import Results
from scripts.capacity import plan as arithmetic
from scripts.capacity.__main__ import main
from scripts.capacity.page import spelt
from scripts.capacity.plan import Basis, Margins, Picture, Pod, plan
from scripts.capacity.sources import COLUMNS, PICTURES, Costs, published
from scripts.errors import ScriptError
from tests.made_up_results import T4_FP16, cell
from tests.unit.kubernetes import server
from tritonclas.published import published_latencies
from tritonclas.zoo import MODELS

SMALL = Picture(name="small", preprocess_ms=1.5, request_ms=0.5, encoded_bytes=46_000)
POD = Pod(cores=4, gbit_per_s=10)
MARGINS = Margins(headroom=0.5, spare=1)
#: 4 ms for one picture, 8 ms for eight of them.
FAST = Basis(model="fast", place="here", crop=200, classes=1000, images_per_s={1: 250.0, 8: 1000.0})


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_images_a_second_are_batches_one_after_another() -> None:
    assert arithmetic.images_per_s(8, 4.0) == 2000
    assert (FAST.best_batch, FAST.most) == (8, 1000)


def test_a_pod_does_what_its_scarcest_resource_allows() -> None:
    """4 cores prepare a picture of 2 ms 2,000 times a second; 10 Gbit/s carry 50 kB 25,000 times."""
    planned = plan(FAST, "server", SMALL, POD, MARGINS, (1000,))
    assert planned.limits == {"GPU": 1000, "CPU": 2000, "network": 25_000}
    assert (planned.bottleneck, planned.images_per_s) == ("GPU", 1000)
    assert (planned.cores, planned.gbit_per_s) == (2.0, 0.4)
    large = plan(FAST, "server", replace(SMALL, preprocess_ms=15.5), POD, MARGINS, (1000,))
    assert (large.bottleneck, large.images_per_s) == ("CPU", 250)
    narrow = plan(FAST, "server", SMALL, replace(POD, gbit_per_s=0.2), MARGINS, (1000,))
    assert (narrow.bottleneck, narrow.images_per_s) == ("network", 500)


def test_pictures_that_clients_prepare_cost_them_cores_and_the_network_crops() -> None:
    planned = plan(FAST, "client", SMALL, POD, MARGINS, (1000,))
    assert planned.demand == arithmetic.Demand(core_ms=0.5, client_core_ms=1.5, bytes=200 * 200 * 3 + 4000)
    assert planned.limits["CPU"] == 8000


@pytest.mark.parametrize(("target", "pods"), [(1, 2), (500, 2), (501, 3), (1000, 3), (10_000, 21), (1_000_000, 2001)])
def test_replicas(target: int, pods: int) -> None:
    """Half of 1,000 a pod, and a spare one."""
    assert plan(FAST, "server", SMALL, POD, MARGINS, (target,)).replicas == {target: pods}


def test_what_was_measured_of_a_whole_server_has_its_processor_in_it() -> None:
    planned = plan(replace(FAST, whole=True), "server", replace(SMALL, preprocess_ms=99), POD, MARGINS, (1000,))
    assert planned.limits == {"server": 1000, "network": 25_000}


def test_waiting_grows_without_bound() -> None:
    assert arithmetic.mean_wait(0.5) == pytest.approx(0.5)
    assert arithmetic.mean_wait(0.9) == pytest.approx(4.5)


def test_the_published_table_is_taken_as_it_is() -> None:
    found = {(basis.model, basis.place): basis for basis in published(tuple(MODELS.values()))}
    filled = {
        (name, f"{gpu}, {precision.upper()}") for (name, gpu, precision, _), ms in published_latencies().items() if ms
    }
    assert set(found) == filled
    assert {place for _, place in found} == {f"{gpu}, {precision.upper()}" for gpu, precision in COLUMNS}
    latency = published_latencies()["EfficientNetB0", "T4", "fp16", 8]
    assert latency
    assert found["EfficientNetB0", "T4, FP16"].images_per_s[8] == pytest.approx(8000 / latency)
    assert set(found["EfficientNetB7", "T4, FP16"].images_per_s) == {1}  # dashes in the table


def test_the_page_is_what_the_command_makes(root: Path, tmp_path: Path) -> None:
    made = tmp_path / "capacity.md"
    assert run("--out", made).exit_code == 0
    page = root / "docs" / "capacity.md"
    assert made.read_text() == page.read_text(), "python -m scripts.capacity --out docs/capacity.md makes it anew"


def test_the_pictures_are_the_benchmarks() -> None:
    for name, size in PICTURES.items():
        width, height = map(int, name.split("x"))
        assert len(photograph(width, height)) == pytest.approx(size, rel=0.02)  # OpenCV's encoder changes a little
    assert set(Costs.read().preparing_ms) == set(PICTURES)


def test_a_pod_has_the_cores_that_the_manifests_ask_for() -> None:
    (cores,) = (option.default for option in main.params if option.name == "cores")
    for folder in ("overlays/t4", "overlays/v100", "overlays/cpu"):
        assert float(server(folder)["resources"]["requests"]["cpu"]) == cores


def test_json_has_what_the_page_has() -> None:
    done = run("EfficientNetB0", "--images-per-s", "5000", "--json")
    content = json.loads(done.stdout)
    assert {each["model"] for each in content["plans"]} == {"EfficientNetB0"}
    assert len(content["plans"]) == len(COLUMNS) * 2 * len(PICTURES)
    assert all(list(each["replicas"]) == ["5000"] for each in content["plans"])
    assert content["assumptions"]["headroom"] == 0.3


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Results of a T4: two loads of a batch size, one of which had failures, and one of crops."""
    cells = (
        cell("EfficientNetB0", 8, 1, "encoded", 8.0),
        replace(cell("EfficientNetB0", 8, 2, "encoded", 8.0), images_per_s=700.0),
        replace(cell("EfficientNetB0", 8, 4, "encoded", 8.0), images_per_s=9999.0, failures=3),
        replace(cell("EfficientNetB0", 8, 4, "pixels", 8.0), images_per_s=800.0),
    )
    Results(T4_FP16, cells).write(tmp_path)
    return tmp_path / "results.json"


def test_a_load_test_is_planned_with(sweep: Path) -> None:
    plans = json.loads(run("--results", sweep, "--json").stdout)["plans"]
    assert [(each["preprocess"], each["images_per_s"], each["bottleneck"]) for each in plans] == [
        ("server", {"8": 700.0}, "server"),
        ("client", {"8": 800.0}, "server"),
    ]
    assert "Tesla T4, t4-fp16" in run("--results", sweep).stdout


def test_a_picture_of_ones_own() -> None:
    done = run("EfficientNetB0", "--picture-ms", "10", "--picture-kb", "300", "--request-ms", "1", "--json")
    (first, *_) = json.loads(done.stdout)["plans"]
    assert first["picture"] == "the given"
    assert first["cores"] == pytest.approx(first["images_per_s"]["8"] * 11 / 1000)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["EfficientNetB9"], "did you mean"),
        (["EfficientNetLite0"], "no latency of EfficientNetLite0 was published; measure it"),
        (["--picture-ms", "3"], "give both"),
        (["--headroom", "1"], "0<=x<1"),
        (["--results", "nowhere.json"], "nowhere.json can't be read"),
        (["--out", "nowhere/there/"], "can't be written"),
    ],
)
def test_what_a_user_gets_wrong_is_said_in_a_line(words: list[str], said: str, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "nowhere").write_text("")
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code != 0
    assert said in done.stderr
    assert isinstance(done.exception, SystemExit)


def test_results_without_a_cell_to_plan_with(sweep: Path) -> None:
    done = run("EfficientNetB4", "--results", sweep)
    assert re.search(r"no cell of EfficientNetB4 .* measure it: python -m loadtest.sweep", done.stderr)


@pytest.mark.parametrize("text", ["", "[]", '{"comparisons": {"preprocessing": [], "floor": []}}'])
def test_benchmarks_that_say_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.json"
    path.write_text(text)
    with pytest.raises(ScriptError, match="--picture-ms"):
        Costs.read(path)


def test_rates_are_spelt_short() -> None:
    assert [spelt(rate) for rate in (1_000, 10_000, 1_000_000, 1_500, 999)] == ["1k", "10k", "1M", "1,500", "999"]
