"""The passes, each on small graphs that ONNX Runtime runs before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from scripts.errors import ExportError
from scripts.graph.batchnorm import fold_batchnorm
from scripts.graph.constants import inline_constants
from scripts.graph.edit import Store, elements, refer
from scripts.graph.front import accept_pixels
from scripts.graph.padding import merge_same_padding
from scripts.graph.softmax import append_softmax
from scripts.onnx_file import write_onnx
from tritonclas import zoo

Array = NDArray[Any]
Fold = Callable[[onnx.ModelProto], int]
CHANNELS = 4
TO_THE_END = 2**31 - 1


def model_of(nodes: list[onnx.NodeProto], constants: dict[str, Array], outputs: tuple[str, ...] = ("y",)) -> Any:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, None, None])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, feed: Array, name: str = "x") -> Array:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    answer: Array = session.run(None, {name: feed})[0]
    return answer


def picture(side: int = 17) -> Array:
    return np.random.default_rng(1).standard_normal((2, 3, side, side + 3), dtype=np.float32)


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def random(*shape: int, seed: int = 2) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def convolution(output: str = "c", **settings: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", ["x", "w"], [output], **settings)


# constants


def test_constants_and_identities_go_and_the_answer_stays() -> None:
    two = numpy_helper.from_array(np.float32(2), "anything")
    model = model_of(
        [
            helper.make_node("Identity", ["x"], ["x1"]),
            helper.make_node("Constant", [], ["two"], value=two),
            helper.make_node("Identity", ["two"], ["two1"]),
            helper.make_node("Mul", ["x1", "two1"], ["doubled"]),
            helper.make_node("Identity", ["doubled"], ["copy"]),
            helper.make_node("Identity", ["copy"], ["y"]),
        ],
        {"nobody_needs_me": random(3)},
    )
    model.graph.value_info.append(helper.make_tensor_value_info("doubled", TensorProto.FLOAT, [1, 3, 1, 1]))
    before = run(model, picture())
    assert inline_constants(model) == 5
    assert operators(model) == ["Mul"]
    assert [tensor.name for tensor in model.graph.initializer] == ["two"]
    assert not model.graph.value_info
    assert np.array_equal(run(model, picture()), before)


def test_an_identity_between_input_and_output_stays() -> None:
    model = model_of([helper.make_node("Identity", ["x"], ["y"])], {})
    assert inline_constants(model) == 0
    assert np.array_equal(run(model, picture()), picture())


def test_a_value_that_is_two_outputs_keeps_both() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["z"]), helper.make_node("Identity", ["z"], ["y"])]
    model = model_of(nodes, {}, outputs=("y", "z"))
    inline_constants(model)
    assert operators(model) == ["Relu", "Identity"]
    assert np.array_equal(run(model, picture()), np.maximum(picture(), 0))


# padding


def cropped(pads: list[int], stride: int, starts: tuple[int, int] = (1, 1), ends: int = TO_THE_END) -> Any:
    constants = {
        "w": random(CHANNELS, 3, 3, 3),
        "starts": np.array(starts),
        "ends": np.array([ends, ends]),
        "axes": np.array([2, 3]),
        "steps": np.array([1, 1]),
    }
    crop = helper.make_node("Slice", ["c", "starts", "ends", "axes", "steps"], ["y"])
    return model_of([convolution(pads=pads, strides=[stride, stride]), crop], constants)


@pytest.mark.parametrize("side", [16, 17])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pad", [2, 3])
def test_same_padding_is_merged_exactly(side: int, stride: int, pad: int) -> None:
    model = cropped([pad] * 4, stride)
    before = run(model, picture(side))
    assert merge_same_padding(model) == 1
    assert operators(model) == ["Conv"]
    assert len(model.graph.initializer) == 1
    assert np.array_equal(run(model, picture(side)), before)


def test_unequal_crops_are_merged_exactly() -> None:
    model = cropped([3, 3, 1, 0], 1, starts=(2, 0), ends=10**7)
    before = run(model, picture())
    assert merge_same_padding(model) == 1
    assert np.array_equal(run(model, picture()), before)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(cropped([1] * 4, 2), id="more is cut than was padded"),
        pytest.param(cropped([2] * 4, 2, ends=-1), id="the end is cut too"),
        pytest.param(cropped([2] * 4, 2, starts=(-5, 1)), id="counted from the end"),
    ],
)
def test_other_slices_stay(model: Any) -> None:
    before = run(model, picture())
    assert merge_same_padding(model) == 0
    assert operators(model) == ["Conv", "Slice"]
    assert np.array_equal(run(model, picture()), before)


def test_a_slice_with_steps_stays() -> None:
    model = cropped([2] * 4, 1)
    steps = next(tensor for tensor in model.graph.initializer if tensor.name == "steps")
    steps.CopyFrom(numpy_helper.from_array(np.array([2, 2]), "steps"))
    assert merge_same_padding(model) == 0


def test_a_slice_of_channels_stays() -> None:
    model = cropped([2] * 4, 1)
    axes = next(tensor for tensor in model.graph.initializer if tensor.name == "axes")
    axes.CopyFrom(numpy_helper.from_array(np.array([1, 2]), "axes"))
    assert merge_same_padding(model) == 0


def test_a_convolution_that_others_use_stays() -> None:
    model = cropped([2] * 4, 2)
    model.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, None))
    assert merge_same_padding(model) == 0


def test_a_slice_of_something_else_stays() -> None:
    model = cropped([2] * 4, 1)
    model.graph.node[0].CopyFrom(helper.make_node("Relu", ["x"], ["c"]))
    assert merge_same_padding(model) == 0


# batch normalisation

BATCHNORM_INPUTS = ["gamma", "beta", "mean", "variance"]


def normalised_constants() -> dict[str, Array]:
    return {
        "w": random(CHANNELS, 3, 3, 3),
        "gamma": random(CHANNELS, seed=3),
        "beta": random(CHANNELS, seed=4),
        "mean": random(CHANNELS, seed=5),
        "variance": np.abs(random(CHANNELS, seed=6)) + 0.1,
    }


@pytest.fixture
def fold(tmp_path: Path) -> Fold:
    """Folds, then takes the weights in, so that the model can be run from memory."""

    def fold_and_take_in(model: onnx.ModelProto) -> int:
        count = fold_batchnorm(model, Store(tmp_path / "made.data"))
        for tensor in model.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(elements(tensor), tensor.name))
        return count

    return fold_and_take_in


def batchnorm(taken: str = "c", made: str = "y", **settings: Any) -> onnx.NodeProto:
    return helper.make_node("BatchNormalization", [taken, *BATCHNORM_INPUTS], [made], epsilon=1e-3, **settings)


@pytest.mark.parametrize("biased", [False, True])
def test_batch_normalisation_is_folded(biased: bool, fold: Fold) -> None:
    conv = convolution(strides=[2, 2])
    constants = normalised_constants()
    if biased:
        conv.input.append("b")
        constants["b"] = random(CHANNELS, seed=7)
    model = model_of([conv, batchnorm()], constants)
    before = run(model, picture())
    assert fold(model) == 1
    assert operators(model) == ["Conv"]
    assert len(model.graph.initializer) == 2
    np.testing.assert_allclose(run(model, picture()), before, rtol=0, atol=1e-5)


def test_folding_is_float64_arithmetic_rounded_once(fold: Fold) -> None:
    constants = normalised_constants()
    model = model_of([convolution(), batchnorm()], constants)
    fold(model)
    folded = {tensor.name: elements(tensor) for tensor in model.graph.initializer}
    exact = {name: array.astype(np.float64) for name, array in constants.items()}
    scale = exact["gamma"] / np.sqrt(exact["variance"] + np.float64(np.float32(1e-3)))
    weight, bias = (folded[name] for name in model.graph.node[0].input[1:])
    assert np.array_equal(weight, (exact["w"] * scale[:, None, None, None]).astype(np.float32))
    assert np.array_equal(bias, (exact["beta"] - exact["mean"] * scale).astype(np.float32))


@pytest.mark.parametrize("shape", [(CHANNELS, 1, 1), (1, CHANNELS, 1, 1), (1,), ()])
def test_scaling_and_shifting_by_channel_is_folded(shape: tuple[int, ...], fold: Fold) -> None:
    constants = {"w": random(CHANNELS, 3, 3, 3), "scale": random(*shape), "shift": random(*shape, seed=8)}
    constants = {name: np.asarray(array, np.float32) for name, array in constants.items()}
    nodes = [
        convolution(),
        helper.make_node("Add", ["c", "shift"], ["shifted"]),
        helper.make_node("Mul", ["scale", "shifted"], ["y"]),
    ]
    model = model_of(nodes, constants)
    before = run(model, picture())
    assert fold(model) == 2
    np.testing.assert_allclose(run(model, picture()), before, rtol=0, atol=1e-5)


def test_weights_on_disk_are_folded(tmp_path: Path, fold: Fold) -> None:
    constants = normalised_constants()
    model = model_of([convolution(), batchnorm()], constants)
    before = run(model, picture())
    (tmp_path / "weights").write_bytes(b"header" + constants["w"].tobytes())
    reference = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=constants["w"].shape)
    refer(reference, tmp_path / "weights", 6, constants["w"].nbytes)
    model.graph.initializer[0].CopyFrom(reference)
    assert fold(model) == 1
    np.testing.assert_allclose(run(model, picture()), before, rtol=0, atol=1e-5)


def unfoldable() -> list[Any]:
    constants = normalised_constants()
    relu = [convolution(), helper.make_node("Relu", ["c"], ["r"]), batchnorm("r")]
    both = [convolution(), batchnorm(made="n"), helper.make_node("Add", ["n", "c"], ["y"])]
    twice = [
        convolution(),
        batchnorm(made="n"),
        helper.make_node("Conv", ["x", "w"], ["other"]),
        helper.make_node("Add", ["n", "other"], ["y"]),
    ]
    columns = [convolution(), helper.make_node("Add", ["c", "columns"], ["y"])]
    return [
        pytest.param(model_of(relu, constants), id="something stands between"),
        pytest.param(model_of(both, constants), id="the convolution is used elsewhere"),
        pytest.param(model_of(twice, constants), id="the weights are used elsewhere"),
        pytest.param(model_of([convolution(), batchnorm()], constants, outputs=("y", "c")), id="it is an output"),
        pytest.param(model_of(columns, {"w": constants["w"], "columns": random(18)}), id="not by channel"),
        pytest.param(
            model_of([convolution(), helper.make_node("Add", ["c", "c"], ["y"])], {"w": constants["w"]}),
            id="with itself",
        ),
    ]


@pytest.mark.parametrize("model", unfoldable())
def test_what_cannot_be_folded_stays(model: Any, fold: Fold) -> None:
    before, nodes = run(model, picture()), operators(model)
    assert fold(model) == 0
    assert operators(model) == nodes
    assert np.array_equal(run(model, picture()), before)


def test_batch_normalisation_in_training_mode_stays(fold: Fold) -> None:
    node = batchnorm(training_mode=1)
    node.output.extend(["running_mean", "running_variance"])
    model = model_of([convolution(), node], normalised_constants())
    assert fold(model) == 0


def test_padding_then_batch_normalisation_leaves_one_convolution(fold: Fold) -> None:
    model = cropped([2] * 4, 2)
    model.graph.node[1].output[0] = "s"
    model.graph.node.append(batchnorm("s"))
    constants = normalised_constants()
    model.graph.initializer.extend(numpy_helper.from_array(constants[name], name) for name in BATCHNORM_INPUTS)
    before = run(model, picture())
    assert (merge_same_padding(model), fold(model)) == (1, 1)
    assert operators(model) == ["Conv"]
    np.testing.assert_allclose(run(model, picture()), before, rtol=0, atol=1e-5)


# softmax


def classifier(*last: str) -> Any:
    """Means of the three channels, then the operators named."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["v0"], axes=[2, 3], keepdims=0)]
    nodes += [helper.make_node(name, [f"v{step}"], [f"v{step + 1}"]) for step, name in enumerate(last)]
    nodes[-1].output[0] = "y"
    return model_of(nodes, {})


def test_scores_get_a_softmax() -> None:
    model = classifier()
    powers = np.exp(run(model, picture()))
    assert append_softmax(model) == 1
    np.testing.assert_allclose(run(model, picture()), powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)


def test_probabilities_get_no_second_softmax() -> None:
    model = classifier("Softmax")
    assert append_softmax(model) == 0
    assert operators(model) == ["ReduceMean", "Softmax"]


def test_a_multi_label_network_is_refused() -> None:
    with pytest.raises(ExportError, match="multi-label"):
        append_softmax(classifier("Sigmoid"))


# front


@pytest.mark.parametrize("name", ["EfficientNetB0", "EfficientNetLite0"])
def test_pixels_are_normalised_as_paddleclas_does(name: str) -> None:
    row = replace(zoo.find(name), crop=12, classes=3)
    model = model_of([helper.make_node("Identity", ["x"], ["y"])], {})
    accept_pixels(model, row)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    pixels = np.random.default_rng(9).integers(0, 256, (2, 12, 12, 3), dtype=np.uint8)
    scaled = pixels.astype(np.float32) * np.float32(1 / 255)
    expected = ((scaled - np.float32(row.mean)) / np.float32(row.std)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(run(model, pixels, "pixels"), expected, rtol=0, atol=1e-6)


def test_only_the_batch_is_dynamic() -> None:
    row = replace(zoo.find("EfficientNetB0"), crop=12, classes=3)
    model = classifier("Softmax")
    accept_pixels(model, row)
    onnx.checker.check_model(model, full_check=True)
    (taken,), (answered,) = model.graph.input, model.graph.output
    assert (taken.name, answered.name) == ("pixels", "probabilities")
    assert taken.type.tensor_type.elem_type == TensorProto.UINT8
    assert [size.dim_param or size.dim_value for size in taken.type.tensor_type.shape.dim] == ["batch", 12, 12, 3]
    assert [size.dim_param or size.dim_value for size in answered.type.tensor_type.shape.dim] == ["batch", 3]
    for batch in (1, 5):
        assert run(model, np.zeros((batch, 12, 12, 3), np.uint8), "pixels").shape == (batch, 3)


# the file


@pytest.mark.parametrize("elements_of_one", [1, 29, 40, 5000, 70_000])
def test_a_file_written_tensor_by_tensor_is_the_model(tmp_path: Path, elements_of_one: int) -> None:
    model = model_of([convolution("y")], {"w": random(CHANNELS, 3, 3, 3), "more": random(elements_of_one)})
    helper.set_model_props(model, {"model": "small"})
    (tmp_path / "weights").write_bytes(random(5, seed=10).tobytes())
    reference = model.graph.initializer.add(name="referred", data_type=TensorProto.FLOAT, dims=[5])
    refer(reference, tmp_path / "weights", 0, 20)
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    whole.graph.initializer[2].CopyFrom(numpy_helper.from_array(random(5, seed=10), "referred"))
    write_onnx(model, tmp_path / "model.onnx")
    written = onnx.load(tmp_path / "model.onnx")
    assert written == whole
    assert np.array_equal(elements(written.graph.initializer[2]), random(5, seed=10))
