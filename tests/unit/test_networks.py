"""The architectures: their sizes are those of the zoo, and their padding is PaddleClas's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from scripts import synthetic
from scripts.networks import build
from scripts.networks.efficientnet import Convolution, round_filters, same_padding
from scripts.quiet_paddle import paddle
from tritonclas import zoo

TINY = replace(
    zoo.find("EfficientNetB0"), name="Tiny", network=zoo.EfficientNet(width=0.25, depth=0.3), crop=64, classes=10
)


@dataclass(frozen=True)
class Cost:
    parameters: int
    gflops: float


@contextmanager
def static_mode() -> Iterator[None]:
    paddle.enable_static()
    try:
        yield
    finally:
        paddle.disable_static()


@cache
def operations(name: str) -> tuple[Any, list[Any]]:
    """The row's program, in which shapes are inferred and nothing is allocated, and its operations."""
    model = zoo.find(name)
    program = paddle.static.Program()
    with static_mode(), paddle.utils.unique_name.guard():
        with paddle.static.program_guard(program, paddle.static.Program()):
            pixels = paddle.static.data("x", [1, 3, model.crop, model.crop], "float32")
            layer = build(model)
            layer.eval()
            layer(pixels)
        return program, list(program.global_block().ops)


def multiply_accumulates(operation: Any) -> int:
    """Those of a convolution or a linear layer; 0 of anything else."""
    if operation.name() in ("pd_op.conv2d", "pd_op.depthwise_conv2d"):
        a_number = math.prod(operation.operand_source(1).shape[1:])
    elif operation.name() == "pd_op.matmul":
        a_number = operation.operand_source(1).shape[0]
    else:
        return 0
    return math.prod(operation.result(0).shape) * a_number


def cost(name: str) -> Cost:
    program, found = operations(name)
    trainable = [one for one in program.global_block().all_parameters() if one.trainable]
    parameters = sum(math.prod(one.shape) for one in trainable)
    return Cost(parameters, 2e-9 * sum(map(multiply_accumulates, found)))


@pytest.mark.parametrize("model", zoo.MODELS.values(), ids=zoo.MODELS)
def test_a_row_s_network_has_the_parameters_and_the_cost_that_the_row_says(model: zoo.Model) -> None:
    measured = cost(model.name)

    assert measured.parameters == model.parameters
    assert round(measured.gflops, 2) == model.gflops


def divided_twice(name: str) -> Cost:
    """The same counted as the published table seems to: a grouped convolution's share divided by its groups again."""
    _, found = operations(name)
    grouped = [one for one in found if one.name() in ("pd_op.conv2d", "pd_op.depthwise_conv2d")]
    weights = {id(one): math.prod(one.operand_source(1).shape) for one in grouped}
    lost = sum(weights[id(one)] * (1 - 1 / one.attrs()["groups"]) for one in grouped)
    saved = sum(multiply_accumulates(one) * (1 - 1 / one.attrs()["groups"]) for one in grouped)
    true = cost(name)
    return Cost(round(true.parameters - lost), true.gflops - 2e-9 * saved)


@pytest.mark.parametrize("name", [name for name in zoo.MODELS if "ResNeXt" in name])
def test_the_published_table_divides_by_the_groups_twice(name: str) -> None:
    published = zoo.MODELS[name].published
    assert published is not None
    counted = divided_twice(name)
    assert counted.gflops == pytest.approx(published.gflops, rel=1e-3)
    assert counted.parameters / 1e6 == pytest.approx(published.parameters_m, rel=1e-3)
    assert cost(name).gflops > 1.1 * published.gflops


@pytest.mark.parametrize(
    ("name", "slices"), [("EfficientNetB0", 5), ("EfficientNetLite0", 5), ("EfficientNetB0_small", 0)]
)
def test_rows_and_columns_are_dropped_between_convolution_and_batch_norm(name: str, slices: int) -> None:
    names = [one.name() for one in operations(name)[1] if one.name() != "pd_op.full_int_array"]
    around = [(names[at - 1], names[at + 1]) for at, one in enumerate(names) if one == "pd_op.slice"]

    assert len(around) == slices
    assert {before for before, _ in around} <= {"pd_op.conv2d", "pd_op.depthwise_conv2d"}
    assert {after for _, after in around} <= {"pd_op.batch_norm_"}


def test_efficientnet_s_batch_norms_have_tensorflow_s_epsilon() -> None:
    norms = [one for one in operations("EfficientNetB0")[1] if one.name() == "pd_op.batch_norm_"]

    assert [one.attrs()["epsilon"] for one in norms] == pytest.approx([1e-3] * 49)


@pytest.mark.parametrize("size", [16, 17])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolution_equals_one_that_is_padded_as_tensorflow_does(size: int, stride: int, kernel: int) -> None:
    layer = Convolution(2, 4, kernel, size=size, stride=stride)
    layer.eval()
    pixels = paddle.to_tensor(np.random.default_rng(0).standard_normal((1, 2, size, size), np.float32))
    before, after = same_padding(size, stride, kernel)

    padded = paddle.nn.functional.pad(pixels, [before, after, before, after])
    expected = layer.norm(paddle.nn.functional.conv2d(padded, layer.conv.weight, stride=stride))

    assert list(expected.shape[2:]) == [math.ceil(size / stride)] * 2
    np.testing.assert_allclose(layer(pixels).numpy(), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("filters", "width", "expected"),
    [(32, 1.0, 32), (32, 1.1, 32), (10, 1.0, 16), (16, 1.4, 24), (24, 1.4, 32), (1280, 2.0, 2560)],
)
def test_filters_are_rounded_to_eights_and_never_by_more_than_a_tenth_down(
    filters: int, width: float, expected: int
) -> None:
    assert round_filters(filters, width) == expected


@pytest.mark.parametrize(
    "model", [TINY, replace(zoo.find("ResNeXt101_32x8d_wsl"), crop=32, classes=10)], ids=["efficientnet", "resnext"]
)
def test_a_network_answers_probabilities(model: zoo.Model) -> None:
    layer = build(model)
    layer.eval()

    answer = layer(paddle.zeros([3, 3, model.crop, model.crop])).numpy()

    assert answer.shape == (3, 10)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer.sum(1), 1, atol=1e-6)
    assert answer.min() >= 0


def weights(layer: Any) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in layer.state_dict().items()}


def test_synthetic_weights_depend_on_the_name_alone() -> None:
    first, again = weights(synthetic.build(TINY)), weights(synthetic.build(TINY))
    other = weights(synthetic.build(replace(TINY, name="Other")))

    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["stem.conv.weight"], other["stem.conv.weight"])


def test_synthetic_weights_have_calibrated_norms() -> None:
    state = weights(synthetic.build(TINY))
    variances = [values for name, values in state.items() if name.endswith("norm._variance")]

    assert len(variances) == 1 + 2 + 7 * 3 + 1
    assert all(np.all(values != 1) for values in variances)
    assert all(np.isfinite(values).all() for values in state.values())


@pytest.mark.parametrize("name", ["EfficientNetB0", "EfficientNetB0_small", "EfficientNetLite0"])
def test_synthetic_networks_tell_pictures_apart(name: str) -> None:
    model = zoo.find(name)
    layer = synthetic.build(model)
    pictures = synthetic.random_pictures(np.random.default_rng(5), model.crop)

    with paddle.no_grad():
        logits = layer(paddle.to_tensor(pictures)).numpy()

    assert len(set(logits.argmax(1))) >= len(pictures) // 2
    assert 1 < logits.std() < 10


@pytest.mark.parametrize(
    ("name", "side"), [("EfficientNetB0", 128), ("EfficientNetB7", 128), ("Fix_ResNeXt101_32x48d_wsl", 96)]
)
def test_large_rows_are_calibrated_with_smaller_pictures(name: str, side: int) -> None:
    assert synthetic.picture_side(zoo.find(name)) == side
    assert synthetic.random_pictures(np.random.default_rng(0), side).shape == (16, 3, side, side)
