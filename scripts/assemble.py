"""Writes the archive of a network whose weights we make ourselves, in Paddle 3's format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from scripts import sample, synthetic
from scripts.archive import Archive, generated
from scripts.networks import with_softmax
from scripts.quiet_paddle import paddle
from scripts.unpack import replacing
from tritonclas import zoo

Kind = Literal["sample", "synthetic"]

#: What builds a row's network up to its logits.
BUILDERS: Mapping[Kind, Callable[[zoo.Model], paddle.nn.Layer]] = MappingProxyType(
    {"sample": sample.build, "synthetic": synthetic.build}
)


def assemble(model: zoo.Model, kind: Kind, folder: Path) -> Archive:
    """The row's archive with weights of that kind, in `folder`: what was there before is replaced."""
    # Paddle numbers parameters through the whole process; the guard lets each archive begin at 0.
    with replacing(folder) as fresh, paddle.utils.unique_name.guard():
        save(with_softmax(BUILDERS[kind](model)), model.crop, fresh)
        Archive.made(fresh, kind, generated(model, kind))
    return Archive.open(folder, kind, generated(model, kind))


def save(layer: paddle.nn.Layer, crop: int, folder: Path) -> None:
    """Writes `inference.json` and `inference.pdiparams`, with an input `x`, float32 [N, 3, crop, crop]."""
    layer.eval()
    pixels = paddle.static.InputSpec([None, 3, crop, crop], "float32", "x")
    paddle.jit.save(layer, str(folder / "inference"), input_spec=[pixels])
