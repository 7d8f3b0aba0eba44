"""The report: measured figures beside the published ones, and nothing that wasn't measured."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from loadtest import report
from loadtest.cell import Generator
from loadtest.report.document import document
from loadtest.report.html import html
from loadtest.report.markdown import markdown
from loadtest.report.runs import comparable, precision_of, runs_of
from loadtest.results import Results
from tests import made_up_results as made_up
from tests.report_tables import of_html, of_markdown, unescaped
from tests.unit.test_loadtest_results import CELL, FAILED, HEADER, RATED
from tritonclas.published import published_latencies, published_models

COLUMNS = {"latency-v100": [("V100", "fp32")], "latency-t4": [("T4", "fp16"), ("T4", "fp32")]}
BATCHES = (1, 4, 8)
MISSING = "not measured"
NAMES = tuple(published_models())


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    """The page without its figures, which take a while and have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("loadtest.report.html.drawn", lambda _: {})
        yield


def pages(*every: Results) -> tuple[str, str]:
    shown = document(runs_of(every))
    return markdown(shown, "report.html"), html(shown)


def published_tables(*every: Results) -> list[dict[str, dict[str, list[str]]]]:
    """Of Markdown and of HTML: the rows of the two tables by the model's name, without name, crop and resize."""
    text, page = pages(*every)
    in_markdown = [table for table in of_markdown(text) if table[0][:3] == ["model", "crop", "resize"]][:2]
    in_html = [of_html(page)[name] for name in COLUMNS]
    return [
        {name: {row[0]: row[3:] for row in rows} for name, rows in zip(COLUMNS, tables, strict=True)}
        for tables in (in_markdown, in_html)
    ]


def pair(table: list[str], place: int, batch: int) -> list[str]:
    """Published and measured."""
    at = 6 * place + 2 * BATCHES.index(batch)
    return table[at : at + 2]


@pytest.fixture(scope="module")
def nothing() -> list[dict[str, dict[str, list[str]]]]:
    return published_tables(Results(HEADER))


@pytest.fixture(scope="module")
def gpus() -> list[dict[str, dict[str, list[str]]]]:
    """Three sweeps, one of them on a CPU."""
    return published_tables(made_up.on_gpu(made_up.T4_FP16), made_up.on_gpu(made_up.V100), made_up.laptop())


@pytest.mark.parametrize("name", NAMES)
def test_every_published_latency_stands_in_both_files(nothing, name):
    for tables in nothing:
        for table, places in COLUMNS.items():
            for number, place in enumerate(places):
                for batch in BATCHES:
                    value = published_latencies()[(name, *place, batch)]
                    shown = "-" if value is None else f"{value:,.2f}"
                    assert pair(tables[table][name], number, batch) == [shown, MISSING]


def test_the_exact_published_latencies_are_in_the_page():
    _, page = pages(Results(HEADER))

    for value in published_latencies().values():
        assert value is None or f'<data value="{value}">' in page


@pytest.mark.parametrize("name", NAMES)
def test_every_published_size_and_accuracy_stands_in_both_files(name):
    text, page = pages(Results(HEADER))
    row = published_models()[name]
    expected = [f"{row.top1:.3f}", f"{row.top5:.3f}", f"{row.gflops:.2f}", f"{row.parameters_m:.2f}"]
    for rows in (of_html(page)["models"], of_markdown(text)[-1]):
        (found,) = [row for row in rows if row[0] == name]
        assert [found[at] for at in (3, 4, 5, 7)] == expected


@pytest.mark.parametrize("name", NAMES)
def test_measured_figures_stand_in_the_column_of_their_gpu_and_precision(gpus, name):
    for tables in gpus:
        for batch in BATCHES:
            assert re.fullmatch(r"[0-9,.]+", pair(tables["latency-t4"][name], 0, batch)[1])
            assert pair(tables["latency-t4"][name], 1, batch)[1] == MISSING
            assert re.fullmatch(r"[0-9,.]+", pair(tables["latency-v100"][name], 0, batch)[1])


def test_columns_of_other_devices_name_them():
    for said in words(made_up.laptop()):
        assert "measured on Intel(R) Xeon(R) Platinum 8581C CPU @ 2.10GHz, 2 cores, profile default" in said


def test_what_a_cpu_measured_has_columns_of_its_own(gpus):
    for tables in gpus:
        for table, places in COLUMNS.items():
            own = {name: row[6 * len(places) :] for name, row in tables[table].items()}
            assert own["EfficientNetB1"] == [MISSING] * 3
            assert all(entry.endswith("*") for entry in own["EfficientNetB0"])
            assert all(re.fullmatch(r"[0-9.]+", entry) for entry in own["EfficientNetLite0"])


@pytest.mark.parametrize(
    ("gpu", "profile", "place"),
    [
        ("Tesla T4", "t4-fp16", ("T4", "fp16")),
        ("NVIDIA T4", "gpu", ("T4", "fp32")),
        ("Tesla T4", "gpu-tensorrt-fp16", ("T4", "fp16")),
        ("Tesla V100-SXM2-16GB", "v100-fp32", ("V100", "fp32")),
        ("Tesla V100-SXM2-16GB", "v100-fp16", None),
        ("Tesla V100-SXM2-16GB", "t4-fp16", None),
        ("Tesla T4", "default", None),
        ("NVIDIA T400", "gpu", None),
        ("NVIDIA A10", "t4-fp16", None),
        (None, "t4-fp16", None),
    ],
)
def test_which_column_a_measurement_may_stand_in(gpu, profile, place):
    (run,) = runs_of([Results(replace(HEADER, gpu=gpu, profile=profile, device="Tesla T4"))])

    assert run.place == (place or (gpu or "Tesla T4", profile))


def test_precisions():
    profiles = ("default", "gpu", "gpu-tensorrt-fp16", "v100-fp16", "mine")
    assert [precision_of(profile) for profile in profiles] == ["fp32", "fp32", "fp16", "fp16", None]


def measured(*cells, **header) -> str:
    """What stands beside the published latency of EfficientNetB0, batch size 4, T4, FP16."""
    conditions = {"gpu": "Tesla T4", "profile": "t4-fp16"} | header
    both = published_tables(Results(replace(HEADER, **conditions), cells))
    (shown,) = {pair(tables["latency-t4"]["EfficientNetB0"], 0, 4)[1] for tables in both}
    return shown


ALONE = replace(CELL, users=1, input="pixels", failures=0, failure_kinds={})


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        ((ALONE,), "20.50"),
        ((replace(ALONE, input="encoded"),), "20.50†"),
        ((replace(FAILED, input="encoded", users=1), ALONE), "20.50"),
        ((replace(ALONE, synthetic=True, stable=False),), "20.50*~"),
        ((replace(ALONE, users=2),), MISSING),
        ((replace(ALONE, users=None, rate_per_s=1.0),), MISSING),
        ((replace(ALONE, batch_size=2),), MISSING),
        ((replace(FAILED, users=1),), "all failed"),
    ],
)
def test_only_the_comparable_cell_is_compared(cells, shown):
    assert measured(*cells) == shown


def test_onnx_runtime_is_marked():
    assert measured(ALONE, profile="gpu-tensorrt-fp16") == "20.50‡"


def test_the_network_alone_goes_before_end_to_end_and_the_later_run_before_the_earlier():
    header = replace(HEADER, gpu="Tesla T4")
    slower = replace(ALONE, latency_ms=replace(CELL.latency_ms, avg=30.0))
    every = [Results(header, (ALONE,)), Results(header, (slower,)), Results(header, (replace(ALONE, input="encoded"),))]

    found = comparable(runs_of(every), ("T4", "fp16"), "EfficientNetB0", 4)

    assert (found.run.letter, found.cell) == ("B", slower)


def test_a_model_that_isnt_published_has_a_row_below():
    for tables in published_tables(Results(HEADER, (replace(CELL, model="mine"),))):
        assert list(tables["latency-t4"])[-1] == "mine"
        assert pair(tables["latency-t4"]["mine"], 0, 1) == ["-", MISSING]


def words(*every: Results) -> list[str]:
    """Both files as they are read, in one line each."""
    text, page = pages(*every)
    page = re.sub(r"<style>.*?</style>|<wbr>|<[^>]*>", "", page, flags=re.DOTALL)
    return [" ".join(unescaped(text).replace("**", "").split()), " ".join(page.replace("&#39;", "'").split())]


def test_both_files_say_what_is_to_be_known_of_single_cells():
    for said in words(made_up.laptop()):
        assert "The last three windows differ by more than 10 %" in said
        assert "7 of 1,901 requests failed (ServerOverloaded 5, DeadlineExceeded 2)" in said
        assert "EfficientNetLite0, batch 1, 160 requests/s, poisson: answered 140.0 requests/s" in said
        assert "it used 97 % of a core; loop lag 42 ms" in said
        assert "41 beside 1,901" in said
        assert said.count("ServerOverloaded 5, DeadlineExceeded 2") == 2
        assert "Synthetic (random) weights: the speed is real, the answers mean nothing." in said
        assert "real: EfficientNetLite0; synthetic: EfficientNetB0" in said
        assert "p99 ≤ 50 ms" in said
        assert "Not measured: V100 FP32, T4 FP16, T4 FP32." in said
        assert "no GPU, or unknown" in said


def test_nothing_is_said_of_what_didnt_happen():
    for said in words(Results(HEADER, (ALONE,))):
        for mark in ("generator-bound", "saturated", "Synthetic", "Somebody else", "Objectives"):
            assert mark not in said


def test_results_of_before_say_that_the_generator_was_busy():
    for said in words(Results(HEADER, (replace(CELL, generator_cpu_percent=97.0),))):
        assert "it used 97 % of a core" in said


def test_all_of_a_cell_is_in_both_files():
    for said in words(Results(HEADER, (replace(RATED, generator=Generator(cpu_percent=12.5, late_start_ms=7.7)),))):
        assert "100 requests/s, poisson" in said
        for shown in ("pixels-shm", "7.7", "up to 0.3 MP", "80", "GPU power, W", "65", "compute infer", "12.00"):
            assert shown in said


def test_names_may_have_any_letters():
    odd = "a<b>&|*_`c`"
    header = replace(HEADER, device=odd, pictures="<script>alert(1)</script>")
    results = Results(header, (replace(CELL, model=odd), replace(CELL, model=odd, batch_size=8)))

    text, page = pages(results)

    assert "<script" not in page
    assert "<b>" not in page
    assert [row[0] for row in of_html(page)["cells"][2:]] == [odd, odd]
    (cells,) = [table for table in of_markdown(text) if table[0][:2] == ["model", "batch"]]
    assert [row[0] for row in cells[1:]] == [odd, odd]
    assert len({len(row) for row in cells}) == 1
    assert "<" not in re.sub(r"\\<", "", text)


def test_one_cell_and_none_are_reports_too():
    for results in (made_up.single(), Results(HEADER), Results(HEADER, (FAILED,))):
        text, page = pages(results)
        assert text.startswith("# Load test\n")
        assert page.endswith("</html>")


def test_several_sweeps_are_told_apart():
    results = made_up.on_gpu(made_up.T4_FP16), made_up.on_gpu(made_up.T4_FP32)
    text, page = pages(*results)

    conditions = of_html(page)["conditions-table"]
    assert conditions[0] == ["", "run A", "run B"]
    assert ["profile", "t4-fp16", "t4-fp32"] in conditions
    assert {row[1] for row in of_html(page)["cells"][2:]} == {"A", "B"}
    for tables in published_tables(*results):
        row = tables["latency-t4"]["EfficientNetB0"]
        assert len(row) == 12
        assert MISSING not in row
    assert "| profile | t4-fp16 | t4-fp32 |" in text


def test_files_are_written_whole_and_alike(tmp_path):
    results = made_up.single()

    report.write(results, tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    report.write(results, tmp_path)

    assert set(first) == set(report.FILES)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_importing_it_loads_neither_gevent_nor_matplotlib():
    program = "import sys, loadtest.report; print({'gevent', 'matplotlib'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
