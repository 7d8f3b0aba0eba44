"""The main job: real pictures, real weights, a real Triton."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from scripts.photographs import EXAMPLES, photographs
from scripts.versions import onnx_path
from tests.triton.commands import wait_for
from tests.triton.conftest import REAL, SYNTHETIC
from tritonclas import Classification, Classifier, ImageRejected, InvalidRequest, ModelServer, ModelStatistics, zoo
from tritonclas.published import imagenet_labels

PICTURES = sorted(EXAMPLES.glob("*.jpg"))
CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat
ESPRESSO = 967
ROCKETS = {657, 744}  # missile, projectile


def test_the_cat_is_a_cat(classifier):
    assert {label.index for label in classifier.classify(EXAMPLES / "cat.jpg", top_k=3).labels} == CATS


def test_the_espresso_is_an_espresso(classifier):
    top = classifier.classify(EXAMPLES / "espresso.jpg").top
    assert (top.index, top.name) == (ESPRESSO, "espresso")
    assert top.score > 0.9


def test_the_rocket_is_a_missile_or_a_projectile(classifier):
    assert classifier.classify(EXAMPLES / "rocket.jpg").top.index in ROCKETS


def test_ensemble_client_side_and_local_onnx_runtime_agree(classifier, cropping_classifier, repository):
    model = zoo.find(REAL)
    session = onnxruntime.InferenceSession(onnx_path(REAL, repository), providers=["CPUExecutionProvider"])
    local = session.run(None, {"pixels": np.stack(photographs(model, EXAMPLES))})[0]
    through_ensemble = classifier.probabilities(PICTURES)
    np.testing.assert_array_equal(through_ensemble, cropping_classifier.probabilities(PICTURES))
    np.testing.assert_allclose(through_ensemble, local, atol=1e-5)
    assert (through_ensemble.argsort()[:, -5:] == local.argsort()[:, -5:]).all()


@pytest.mark.parametrize("shared_memory", [False, True])
def test_ready_crops_are_answered_as_those_that_the_client_makes(server, cropping_classifier, shared_memory):
    crops = photographs(zoo.find(REAL), EXAMPLES)
    with Classifier(server.url, REAL, preprocess="none", shared_memory=shared_memory) as client:
        assert client.classify(crops[0]) == cropping_classifier.classify(PICTURES[0])
        found = client.probabilities(np.stack(crops))
        first, path, second, small = client.classify_many([crops[0], PICTURES[1], crops[1], crops[2][:100]])
    np.testing.assert_array_equal(found, cropping_classifier.probabilities(PICTURES))
    assert [first, second] == list(cropping_classifier.classify_many(PICTURES[:2]))
    assert f"{PICTURES[1]}: a pathlib." in str(path)
    assert str(small) == "image 3: the array is uint8 [100, 224, 3]; preprocess='none' takes uint8 [224, 224, 3]"


def test_ready_crops_for_a_network_that_is_named_itself(server):
    (crop, *_) = photographs(zoo.find(REAL), EXAMPLES)
    why = "isn't an ensemble with preprocessing, which preprocess='none' needs"
    with (
        Classifier(server.url, f"{REAL}_net", preprocess="none") as client,
        pytest.raises(InvalidRequest, match=why),
    ):
        client.classify(crop)


@pytest.mark.parametrize("client", ["classifier", "cropping_classifier"])
def test_top_k_is_the_head_of_the_probabilities(client, request):
    client = request.getfixturevalue(client)
    probabilities = client.probabilities(PICTURES[:1])[0]
    labels = client.classify(PICTURES[0], top_k=7).labels
    assert [label.index for label in labels] == probabilities.argsort()[::-1][:7].tolist()
    assert [label.score for label in labels] == pytest.approx(sorted(probabilities, reverse=True)[:7], abs=1e-6)
    assert [label.name for label in labels] == [imagenet_labels()[label.index] for label in labels]


def test_more_classes_than_there_are(classifier):
    assert len(classifier.classify(PICTURES[0], top_k=5000).labels) == 1000


def test_probabilities_of_more_images_than_a_batch_holds(classifier):
    model = zoo.find(REAL)
    many = classifier.probabilities([PICTURES[0], PICTURES[1]] * model.max_batch_size)
    assert many.shape == (2 * model.max_batch_size, model.classes)
    np.testing.assert_allclose(many[-2:], many[:2], atol=1e-6)
    np.testing.assert_allclose(many.sum(axis=1), 1, atol=1e-4)


def test_a_batch_is_answered_in_order_with_bad_images_in_their_places(classifier, tmp_path):
    text = tmp_path / "notes.jpg"
    text.write_text("not a picture")
    sources = [PICTURES[0], text, PICTURES[1], b"", tmp_path / "missing.jpg", PICTURES[2]]
    results = list(classifier.classify_many(sources, batch_size=4, in_flight=2))
    tops = [result.top.index if isinstance(result, Classification) else result.source for result in results]
    alone = [classifier.classify(picture).top.index for picture in PICTURES]
    assert tops == [alone[0], str(text), alone[1], "image 3", str(tmp_path / "missing.jpg"), alone[2]]


def test_bad_requests_dont_spoil_their_neighbours_in_a_dynamic_batch(classifier):
    def ask(index: int) -> object:
        try:
            return classifier.classify(b"broken" if index % 3 == 0 else PICTURES[index % 3]).top.index
        except ImageRejected as error:
            return error.reason

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(48)))
    alone = [classifier.classify(picture).top.index for picture in PICTURES]
    assert all("not a picture" in str(answer) for answer in answers[::3])
    assert [answer for index, answer in enumerate(answers) if index % 3] == [alone[1], alone[2]] * 16


def test_statistics_say_how_long_requests_took_and_how_many_images_were_computed_at_once(server, classifier):
    def statistics() -> tuple[ModelStatistics, ModelStatistics]:
        with ModelServer(server.url) as control:
            return control.statistics(REAL)[0], control.statistics(f"{REAL}_net")[0]

    before, network_before = statistics()
    begin_s = time.monotonic()
    for _ in range(3):
        classifier.probabilities(PICTURES[:2] * 2)
    took_s = time.monotonic() - begin_s
    wait_for(lambda: statistics()[1].inferences >= network_before.inferences + 12)
    ensemble, network = statistics()
    for after, then in ((ensemble, before), (network, network_before)):
        assert after.batch_sizes[4] == then.batch_sizes.get(4, 0) + 3
        assert sum(after.batch_sizes.values()) == after.executions
        assert sum(size * times for size, times in after.batch_sizes.items()) == after.inferences
    success_s = network.success_s - network_before.success_s
    assert 0 < network.compute_infer_s - network_before.compute_infer_s < success_s
    assert success_s < ensemble.success_s - before.success_s < took_s


def test_a_synthetic_model_says_so(server):
    with Classifier(server.url, SYNTHETIC) as client:
        answer = client.classify(PICTURES[0])
    assert answer.synthetic
    assert answer.top.name == f"synthetic weights: class {answer.top.index}"


def test_pictures_of_every_kind_of_source(classifier):
    from PIL import Image

    path = Path(PICTURES[0])
    expected = classifier.probabilities([path])
    with Image.open(path) as image, path.open("rb") as file:
        pixels = np.asarray(image.convert("RGB"))
        found = classifier.probabilities([str(path), path.read_bytes(), file, image, pixels])
    np.testing.assert_allclose(found, np.repeat(expected, 5, axis=0), atol=1e-6)
