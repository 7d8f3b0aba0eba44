"""Squeeze-and-excitation is rewritten in ONNX Runtime's own layout, with the same answers, or left as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.unit.backends import BACKENDS, load

CHANNELS = 48
#: A side of the pixels: many of them, so that the next convolution's weights are multiplied; and few.
MANY, FEW = 40, 6


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BACKENDS / "onnxruntime")
    return load("onnxruntime", "squeeze_excite")


class Network:
    """Nodes one after the other, with random weights."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(1)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The name of its output."""
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def convolution(self, name: str, weights: str, **attributes: Any) -> str:
        """With weights that are there."""
        return self.add("Conv", name, weights, **attributes)

    def random_weights(self, *sizes: int) -> str:
        name = f"weights{len(self.weights)}"
        values = self.random.normal(0, 1 / np.sqrt(np.prod(sizes[1:])), sizes).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def squeeze_excite(self, *, channels: int = CHANNELS, factors_first: bool = False) -> tuple[str, str]:
        """Of the input: pixels times factors, and the factors."""
        begun = self.convolution("x", self.random_weights(channels, 3, 3, 3), pads=[1, 1, 1, 1])
        pixels = self.add("Relu", begun)
        squeezed = self.convolution(self.add("GlobalAveragePool", pixels), self.random_weights(10, channels, 1, 1))
        excited = self.convolution(self.add("Relu", squeezed), self.random_weights(channels, 10, 1, 1))
        factors = self.add("Sigmoid", excited)
        return self.add("Mul", *((factors, pixels) if factors_first else (pixels, factors))), factors

    def optimised(self, folder: Path, side: int | str, outputs: Sequence[str], *, switch: bool = False) -> Path:
        """Its graph as ONNX Runtime has it for this processor; with `switch` it has another input."""
        graph = helper.make_graph(
            self.nodes,
            "network",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, side, side]),
                *([helper.make_tensor_value_info("also", TensorProto.BOOL, ["n"])] if switch else []),
            ],
            [_float(name) for name in outputs],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(folder / "model.onnx")
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights.bin")
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return folder / "model.onnx"


def _float(name: str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def _operators(path: Path) -> Mapping[str, int]:
    return Counter(node.op_type for node in onnx.load(path, load_external_data=False).graph.node)


def _answers(path: Path, side: int, images: int = 1) -> Any:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(2).normal(size=(images, 3, side, side)).astype(np.float32)
    return session.run(None, {"x": image})


def _same(found: Sequence[Any], expected: Sequence[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def _rewritten(module: Any, path: Path, multiplications: int) -> None:
    """Many pixels, with the same answers."""
    expected = _answers(path, MANY)
    module.rewrite(path)
    assert _operators(path)["ReorderInput"] == 0
    assert _operators(path)["Mul"] == multiplications
    _same(_answers(path, MANY), expected)


def _left_alone(module: Any, path: Path) -> None:
    before = path.read_bytes()
    module.rewrite(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("factors_first", [False, True])
@pytest.mark.parametrize(("side", "multiplications"), [(MANY, 1), (FEW, 0)])
def test_the_pixels_stay_in_their_layout_and_the_answers_the_same(
    module: Any, tmp_path: Path, side: int, multiplications: int, factors_first: bool
) -> None:
    network = Network()
    product, _ = network.squeeze_excite(factors_first=factors_first)
    path = network.optimised(tmp_path, side, [network.convolution(product, network.random_weights(32, CHANNELS, 1, 1))])
    before, expected = _operators(path), _answers(path, side)
    assert before["ReorderInput"] == 1, "ONNX Runtime has another layout on this processor, or learnt to multiply in it"
    module.rewrite(path)
    assert _operators(path)["ReorderInput"] == 0
    assert _operators(path)["Mul"] == multiplications, "of the weights, where they are fewer than the pixels"
    assert _operators(path)["ReorderOutput"] < before["ReorderOutput"]
    _same(_answers(path, side), expected)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "weights.bin"]


@pytest.mark.parametrize("side", [MANY, FEW])
def test_a_batch_isnt_answered_wrongly(module: Any, tmp_path: Path, side: int) -> None:
    network = Network()
    product, _ = network.squeeze_excite()
    path = network.optimised(tmp_path, side, [network.convolution(product, network.random_weights(32, CHANNELS, 1, 1))])
    module.rewrite(path)
    with pytest.raises(Exception, match="Reshape"):
        _answers(path, side, images=2)


def test_channels_that_dont_fill_a_block_are_right_too(module: Any, tmp_path: Path) -> None:
    network = Network()
    product, _ = network.squeeze_excite(channels=20)
    path = network.optimised(tmp_path, MANY, [network.convolution(product, network.random_weights(12, 20, 1, 1))])
    before, expected = _operators(path), _answers(path, MANY)
    module.rewrite(path)
    assert _operators(path)["ReorderInput"] == before["ReorderInput"] - 1, "the pooling's"
    _same(_answers(path, MANY), expected)


def test_weights_that_another_convolution_has_too_stay_as_they_are(module: Any, tmp_path: Path) -> None:
    network = Network()
    product, factors = network.squeeze_excite()
    weights = network.random_weights(32, CHANNELS, 1, 1)
    ends = [network.convolution(product, weights), network.convolution(network.add("Relu", factors), weights)]
    _rewritten(module, network.optimised(tmp_path, MANY, ends), multiplications=0)


def test_a_product_that_several_use(module: Any, tmp_path: Path) -> None:
    network = Network()
    product, _ = network.squeeze_excite()
    ends = [network.convolution(product, network.random_weights(32, CHANNELS, 1, 1)) for _ in range(2)]
    _rewritten(module, network.optimised(tmp_path, MANY, ends), multiplications=0)


def test_a_kernel_that_sees_its_neighbours_stays_as_it_is(module: Any, tmp_path: Path) -> None:
    network = Network()
    product, _ = network.squeeze_excite()
    end = network.convolution(product, network.random_weights(32, CHANNELS, 3, 3), pads=[1, 1, 1, 1])
    _rewritten(module, network.optimised(tmp_path, MANY, [end]), multiplications=0)


def test_one_factor_for_all_channels_is_left_alone(module: Any, tmp_path: Path) -> None:
    network = Network()
    pixels = network.add("Relu", network.convolution("x", network.random_weights(16, 3, 3, 3), pads=[1, 1, 1, 1]))
    squeezed = network.convolution(network.add("GlobalAveragePool", pixels), network.random_weights(1, 16, 1, 1))
    product = network.add("Mul", pixels, network.add("Sigmoid", squeezed))
    end = network.convolution(product, network.random_weights(32, 16, 1, 1))
    _left_alone(module, network.optimised(tmp_path, FEW, [end]))


def test_a_graph_with_graphs_inside_is_left_alone(module: Any, tmp_path: Path) -> None:
    network = Network()
    product, _ = network.squeeze_excite()
    end = network.convolution(product, network.random_weights(32, CHANNELS, 1, 1))
    path = network.optimised(tmp_path, FEW, [end])
    model = onnx.load(path, load_external_data=False)
    branch = helper.make_graph([helper.make_node("Identity", [end], ["inner"])], "branch", [], [_float("inner")])
    model.graph.node.append(helper.make_node("If", ["always"], ["either"], then_branch=branch, else_branch=branch))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    onnx.save(model, path)
    _left_alone(module, path)


@pytest.mark.parametrize("side", ["wide", FEW])
def test_inputs_that_no_picture_can_be_made_up_for_are_left_alone(module: Any, tmp_path: Path, side: Any) -> None:
    network = Network()
    product, _ = network.squeeze_excite()
    end = network.convolution(product, network.random_weights(32, CHANNELS, 1, 1))
    _left_alone(module, network.optimised(tmp_path, side, [end], switch=side == FEW))


def test_a_product_that_is_an_answer_itself_is_left_alone(module: Any, tmp_path: Path) -> None:
    network = Network()
    product, _ = network.squeeze_excite()
    end = network.convolution(product, network.random_weights(32, CHANNELS, 1, 1))
    path = network.optimised(tmp_path, FEW, [end, product])
    _left_alone(module, path)


def test_a_graph_without_it_is_left_alone(module: Any, tmp_path: Path) -> None:
    network = Network()
    end = network.convolution("x", network.random_weights(32, 3, 3, 3))
    _left_alone(module, network.optimised(tmp_path, FEW, [end]))


def test_what_would_answer_differently_isnt_written(module: Any, tmp_path: Path, monkeypatch: Any) -> None:
    network = Network()
    product, _ = network.squeeze_excite()
    path = network.optimised(tmp_path, MANY, [network.convolution(product, network.random_weights(32, CHANNELS, 1, 1))])
    before = path.read_bytes()
    monkeypatch.setattr(module, "_block", lambda beside: 4)  # no processor's
    with pytest.raises(RuntimeError, match="differently"):
        module.rewrite(path)
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx", "weights.bin"]
