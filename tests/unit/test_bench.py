"""The benchmark's page is made of its data, and its arithmetic is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from bench import agreement, fresh, operators, page, rows
from bench.__main__ import PARTS
from bench.comparison import Comparison, Measure
from bench.open_loop import Outcome
from bench.server_log import Line, started
from bench.table import Table, figure, spread

TABLE = Table("Clients", ("clients", "images/s"), (("1", "95.2"), ("64", "1,234")), "As the server tells.")


def test_the_page_is_what_its_data_make(root: Path) -> None:
    header, found = page.read(root / "docs" / "benchmarks.json")
    assert (root / "docs" / "benchmarks.md").read_text(encoding="utf-8") == page.markdown(header, found)
    assert list(found) == list(PARTS)


@pytest.mark.parametrize(
    ("at", "bound", "ratio", "met"),
    [("most", 1.05, 0.5, True), ("most", 0.4, 0.5, False), ("least", 2.0, 2.0, True), ("least", 2.1, 2.0, False)],
)
def test_ratios(at: str, bound: float, ratio: float, met: bool) -> None:
    comparison = Comparison("a", "b", (1.0, 2.0, 9.0), (2.0, 4.0, 9.0), at, bound)  # type: ignore[arg-type]
    assert (comparison.ratio, comparison.met) == (ratio, met)


def test_both_take_turns() -> None:
    done: list[str] = []
    ours, theirs = Measure(2, 2).seconds(lambda: done.append("ours"), lambda: done.append("theirs"))
    assert done == ["ours", "theirs", *["ours"] * 2, *["theirs"] * 4, *["ours"] * 2]
    assert len(ours) == len(theirs) == 2
    assert min(ours + theirs) > 0


def test_what_two_files_have_in_common_is_the_lesser_of_each_operators_times() -> None:
    ours, theirs = {"Conv": 6.0, "Mul": 2.0, "Cast": 0.5}, {"Conv": 7.0, "Mul": 1.0, "Slice": 2.0}
    (row,) = operators.in_common({"B0": (ours, theirs)}).rows
    assert row == ("B0", "10.0", "8.50", "0.85", "7.00", "0.70", "Slice 2.00", "Cast 0.50")


def test_profiles_name_the_operators_that_onnx_runtime_ran(tmp_path: Path) -> None:
    scale = onnx.helper.make_tensor("scale", onnx.TensorProto.FLOAT, [1], [2.0])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 8]) for name in ("x", "y", "z")]
    nodes = [onnx.helper.make_node("Mul", ["x", "scale"], ["y"]), onnx.helper.make_node("Sin", ["y"], ["z"])]
    graph = onnx.helper.make_graph(nodes, "two", values[:1], values[2:], [scale])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "two.onnx")
    (found,) = operators.profiles({tmp_path / "two.onnx": np.ones((1, 8), np.float32)}, 1.0)
    assert set(found) == {"Mul", "Sin"}
    assert all(taken >= 0 for taken in found.values())


def test_agreement_of_two_ways_to_compute() -> None:
    """Three pictures: the same answer, one with another order after the first, one with another first class."""
    exact = np.array([[0.4, 0.3, 0.1, 0.1, 0.05, 0.05]] * 3, np.float32)
    found = exact.copy()
    found[1, 4:] = 0.04, 0.06
    found[2, :2] = 0.25, 0.45
    top1, top5, margin, largest, mean = agreement.compare(exact, found)
    assert (top1, top5) == pytest.approx((2 / 3, 2 / 3))
    assert (margin, largest, mean) == pytest.approx((0.1, 0.15, 0.32 / 18))


def test_views_are_different_pictures_and_always_the_same() -> None:
    first, again = agreement.views(32), agreement.views(32)
    assert {(view.shape, str(view.dtype)) for view in first} == {((32, 32, 3), "uint8")}
    assert len({view.tobytes() for view in first}) == len(first) == 300
    np.testing.assert_array_equal(first, again)


def test_a_table_is_drawn_for_the_page_and_for_the_terminal() -> None:
    drawn = "| clients | images/s |\n| --- | ---: |\n| 1 | 95.2 |\n| 64 | 1,234 |\n"
    assert TABLE.markdown() == f"**Clients**\n\n{drawn}\nAs the server tells.\n"
    assert page.said(TABLE).splitlines() == [
        "Clients",
        "  clients  images/s",
        "  1            95.2",
        "  64          1,234",
    ]


def test_tables_and_comparisons_are_written_and_read_again(tmp_path: Path) -> None:
    comparison = Comparison("a", "b", (1.0,), (2.0,), "least", 2.0)
    page.write({"sdk": [comparison, TABLE], "clients": [TABLE]}, tmp_path)
    header, found = page.read(tmp_path / "benchmarks.json")
    assert [list(found), found["clients"], found["sdk"][1]] == [["sdk", "clients"], [TABLE], TABLE]
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8") == page.markdown(header, found)
    assert page.markdown(header, found).count(TABLE.markdown()) == 2


@pytest.mark.parametrize(
    ("part", "bound", "said"),
    [
        ("throughput", "0.93", "≥ 0.95, which no backends behind Triton can meet here (bound 0.93)\n"),
        ("throughput", "0.97", "≥ 0.95 (bound 0.97)\n"),
        ("alternatives", "0.93", "≥ 0.95\n"),
    ],
)
def test_a_missed_aim_stands_beside_the_bound_of_the_machine(part: str, bound: str, said: str) -> None:
    missed = Comparison("a picture", "one process", (1.0,), (0.9,), "least", 0.95)
    met = replace(missed, name="another", bound=0.5)
    floor = Table("Floor", ("", "bound"), (("a picture", bound),))
    drawn = page.markdown(page.header(), {part: [missed, met], "floor": [floor]})
    assert "1 of 2 aims are met, not these:\n\n- a picture (one process): 0.90" in drawn
    assert said in drawn


def test_a_time_is_beyond_its_bound_if_that_is_longer() -> None:
    missed = Comparison("a picture", "one process", (1.2,), (1.0,), "most", 1.1)
    floor = Table("Floor", ("", "bound"), (("a picture", "1.11"),))
    drawn = page.markdown(page.header(), {"latency": [missed], "floor": [floor]})
    assert "1.20, time, ours / theirs ≤ 1.1, which no backends behind Triton can meet here (bound 1.11)" in drawn


def test_an_aim_beside_another_server_is_bound_by_one_process_without_any() -> None:
    missed = Comparison("a picture", "FastAPI", (1.0,), (1.07,), "least", 1.15)
    alone = [
        Comparison(rows.without_server("a picture", "2 sessions"), other, (1.0,), (theirs_s,), "least", 0.0)
        for other, theirs_s in (("LitServe", 2.0), ("FastAPI", 1.2))
    ]
    floor = Table("Floor", ("", "bound"), (("a picture", "0.95"),))
    drawn = page.markdown(page.header(), {"alternatives": [missed, *alone], "floor": [floor]})
    assert "0 of 1 aims" in drawn
    assert "≥ 1.15, which no backends behind Triton with our graph can meet here (bound 1.14)\n" in drawn
    assert "≥ 1.15\n" in page.markdown(page.header(), {"alternatives": [missed, *alone]})


def test_an_aim_beside_another_file_is_bound_by_the_operators_of_both() -> None:
    missed = Comparison("EfficientNetB0, pixels", "another file", (0.96,), (1.0,), "most", 0.92)
    common = operators.in_common({"EfficientNetB0": ({"Conv": 0.94, "Cast": 0.01}, {"Conv": 0.96, "Slice": 0.04})})
    drawn = page.markdown(page.header(), {"exports": [missed, common]})
    assert (
        "≤ 0.92, which no file that computes by these operators can meet here (bound 0.94 of the operators' time)\n"
        in drawn
    )
    drawn = page.markdown(page.header(), {"exports": [replace(missed, bound=0.95), common]})
    assert "≤ 0.95 (bound 0.94 of the operators' time)\n" in drawn


def test_figures_have_three_digits() -> None:
    assert list(map(figure, (0, 0.5, 9.876, 98.76, 987.6, 98765))) == ["0", "0.50", "9.88", "98.8", "988", "98,765"]
    assert spread([3, 1, 2, 40]) == "2.50 (1.00 to 40.0)"


def test_an_outcome_knows_what_was_neither_answered_nor_refused() -> None:
    outcome = Outcome({"answered": [1.0, 2.0], "ServerOverloaded": [3.0], "ServerUnavailable": [4.0]})
    assert (outcome.failed, outcome.ended("answered"), Outcome().failed) == (1, [1.0, 2.0], 0)


_LOG = (
    'I1128 18:12:29.874391 19524 cuda_memory_manager.cc:117] "CUDA memory pool disabled"',
    'I1128 18:12:29.875769 19524 model_lifecycle.cc:472] "loading: A_net:1"',
    "I1128 18:12:30.217179 19524 model_lifecycle.cc:839] \"successfully loaded 'A_net'\"",
    'I1128 18:12:30.221006 19524 grpc_server.cc:2558] "Started GRPCInferenceService at 127.0.0.1:37177"',
)


def test_a_start_is_read_from_the_log() -> None:
    lines = [Line(float(second), text) for second, text in enumerate(_LOG)]
    told = started(lines)
    assert (told.first_s, told.loading_s, told.loaded_s, told.listening_s) == (0, {"A_net": 1}, {"A_net": 2}, 3)
    for missing in range(1, 4):
        with pytest.raises(ValueError, match="log doesn't tell"):
            started([*lines[:missing], *lines[missing + 1 :]])


def test_imports_are_added_up_by_package() -> None:
    told = (
        "import time: self [us] | cumulative | imported package\nimport time:       200 |        200 |   json.decoder\n"
    )
    told += "import time:      1500 |       1700 | numpy\nimport time:       500 |        500 |   numpy.core\n"
    assert fresh.packages(told) == {"numpy": 2.0, "Python's own": 0.2}
