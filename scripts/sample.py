"""The sample model's real ImageNet weights, out of a Python package that a package index can deliver."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from scripts.errors import ArchiveError
from scripts.networks import build_logits
from scripts.quiet_paddle import paddle
from scripts.torch_pickle import read_state_dict
from tritonclas import zoo

_MODULES = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "head.conv", "_bn1": "head.norm", "_fc": "fc"}
_BLOCK_MODULES = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}
_LEAVES = {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"}
#: PyTorch's count of training steps, which Paddle doesn't keep.
_DROPPED = "num_batches_tracked"

Array = NDArray[Any]


def build(model: zoo.Model) -> paddle.nn.Layer:
    """The row's network up to its logits, with the package's weights; ArchiveError if they are missing or don't fit."""
    layer = build_logits(model)
    set_state(layer, paddle_state(read_state_dict(weights_file(model))))
    return layer


def weights_file(model: zoo.Model) -> Path:
    """The .pth file of the row's package."""
    try:
        folder = Path(str(resources.files(str(model.sample)))) / "models"
    except ModuleNotFoundError as error:
        raise ArchiveError(f"the Python package {model.sample} isn't installed; run make setup") from error
    files = sorted(folder.glob("*.pth"))
    if len(files) != 1:
        raise ArchiveError(f"{folder} should hold one .pth file and holds {len(files)}; run make setup")
    return files[0]


def paddle_state(state: dict[str, Array]) -> dict[str, Array]:
    """PyTorch's state under Paddle's names. PyTorch's linear layer is [out, in], Paddle's is [in, out]."""
    kept = {name: array for name, array in state.items() if not name.endswith(_DROPPED)}
    renamed = {paddle_name(name): array for name, array in kept.items()}
    return {name: array.T if name == "fc.weight" else array for name, array in renamed.items()}


def paddle_name(name: str) -> str:
    """Our name of efficientnet_pytorch's `name`; ArchiveError if there is none."""
    *prefix, module, leaf = name.split(".")
    modules = _BLOCK_MODULES if prefix else _MODULES
    if module not in modules or leaf not in _LEAVES or (prefix and prefix[0] != "_blocks"):
        raise ArchiveError(f"the sample weights hold {name!r}, which EfficientNet doesn't have; run make setup")
    return ".".join([*(part.removeprefix("_") for part in prefix), modules[module], _LEAVES[leaf]])


def set_state(layer: paddle.nn.Layer, state: dict[str, Array]) -> None:
    """Sets each of the layer's parameters and buffers once; ArchiveError if a name or a shape doesn't fit."""
    wanted = layer.state_dict()
    strangers = sorted(wanted.keys() ^ state.keys())
    if strangers:
        raise ArchiveError(f"the weights and the network differ in {', '.join(strangers[:3])}; they aren't a pair")
    for name, tensor in wanted.items():
        if tuple(tensor.shape) != state[name].shape:
            raise ArchiveError(
                f"{name} is {state[name].shape}, the network's {tuple(tensor.shape)}; they aren't a pair"
            )
        tensor.set_value(state[name])
