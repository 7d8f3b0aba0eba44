"""An EfficientNet, whose squeeze-and-excitation the CPU backend rewrites, answers as in ONNX Runtime by itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from platformdirs import user_cache_path

from scripts.embedded import EmbeddedServer
from scripts.pipeline import populate
from scripts.versions import onnx_path
from tritonclas import Classifier, zoo
from tritonclas.preprocess import Preprocessing

MODEL = zoo.find("EfficientNetB0")
PICTURES = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))


def test_its_answers_are_onnxruntimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    repository = tmp_path / "models"
    populate(MODEL, "synthetic", repository)
    pictures = [path.read_bytes() for path in PICTURES]
    preprocess = Preprocessing(MODEL.resize_short, MODEL.crop, MODEL.interpolation)
    pixels = np.stack([preprocess(picture) for picture in pictures])
    expected = ort.InferenceSession(str(onnx_path(MODEL.name, repository))).run(None, {"pixels": pixels})[0]
    with EmbeddedServer([MODEL.name], repository) as server, Classifier(server.url, MODEL.name) as classifier:
        one_by_one = [classifier.probabilities([picture])[0] for picture in pictures]
        together = classifier.probabilities(pictures)
    np.testing.assert_allclose(np.stack(one_by_one), expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(together, expected, rtol=1e-3, atol=1e-5)
    (graph,) = (user_cache_path("tritonclas") / "onnxruntime").glob("*/model.onnx")
    nodes = onnx.load(graph, load_external_data=False).graph.node
    operators = Counter(node.op_type for node in nodes)
    assert {node.domain for node in nodes if node.op_type == "Conv"} == {"com.microsoft.nchwc"}
    assert operators["GlobalAveragePool"] > 1, "squeeze-and-excitation"
    assert operators["ReorderInput"] == 0, "no product is laid out again"
