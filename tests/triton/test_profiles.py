"""The profiles' configurations on the real server, as far as a machine without a GPU allows.

Triton reads them all and refuses those for a GPU; with the engine exchanged for the CPU's, everything else of them
(tensors, labels, queues, instances, warm-up, versions) is loaded and answers. The one for the CPU is served as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient
from tritonclient.grpc import model_config_pb2 as pb

from backends.openvino.bfloat16 import cpu_flags, lacking
from scripts.embedded import EmbeddedServer
from scripts.errors import ServerError
from scripts.photographs import EXAMPLES
from scripts.profiles import CUDA, ON_GPU, OPENVINO, PLANS, TENSORRT_PROVIDER, Profile
from tests.triton.commands import run
from tests.triton.conftest import REAL
from tests.triton.test_faults import CAT
from tritonclas import Classifier

NETWORK = f"{REAL}_net"
one_of_each_engine = pytest.mark.parametrize(
    "profile", [PLANS[0], CUDA, TENSORRT_PROVIDER], ids=lambda profile: profile.name
)


@pytest.fixture
def models(repository: Path, tmp_path: Path) -> Path:
    """A copy of what serves the real model, which a test may change."""
    folder = tmp_path / "models"
    for name in (REAL, NETWORK, "preprocess_256_224_cubic"):
        shutil.copytree(repository / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def expected(repository: Path) -> Iterator[tuple[str, float]]:
    """The default configuration's answer."""
    with EmbeddedServer([REAL], repository) as server, Classifier(server.url, REAL) as client:
        top = client.classify(CAT).top
        yield top.name, top.score


def move_to_cpu(path: Path) -> pb.ModelConfig:
    """Exchange the engine of a configuration, and nothing else but its largest batch, by which it is recognised."""
    config = text_format.Parse(path.read_text(), pb.ModelConfig())
    config.backend, config.default_model_filename = "onnxruntime", "model.onnx"
    config.instance_group[0].kind = pb.ModelInstanceGroup.KIND_CPU
    config.ClearField("optimization")
    config.ClearField("parameters")
    config.max_batch_size += 1
    path.write_text(text_format.MessageToString(config))
    return config


@one_of_each_engine
def test_the_server_reads_the_profiles_file(models: Path, expected: tuple[str, float], profile: Profile) -> None:
    written = move_to_cpu(models / NETWORK / "configs" / f"{profile.name}.pbtxt")
    with EmbeddedServer([REAL], models, profile=profile.name) as server, Classifier(server.url, REAL) as client:
        read = configuration(server.url)
        for field in ("max_batch_size", "input", "output", "model_warmup", "version_policy", "default_model_filename"):
            assert getattr(read, field) == getattr(written, field)
        assert read.dynamic_batching.default_queue_policy == written.dynamic_batching.default_queue_policy
        top = client.classify(CAT).top
        assert (top.name, top.score) == pytest.approx(expected)


def configuration(url: str) -> pb.ModelConfig:
    """The network's, as the server has it."""
    with InferenceServerClient(url) as control:
        return control.get_model_config(NETWORK).config


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (PLANS[0].name, "unable to find backend library for backend 'tensorrt'"),
        (CUDA.name, "has kind KIND_GPU but no GPUs are available"),
        (TENSORRT_PROVIDER.name, "has kind KIND_GPU but no GPUs are available"),
    ],
)
def test_triton_refuses_a_profile_for_a_gpu(models: Path, profile: str, message: str) -> None:
    (models / NETWORK / "1" / f"{profile}.plan").write_bytes(b"a plan")
    with pytest.raises(ServerError, match=message) as refused, EmbeddedServer([REAL], models, profile=profile):
        pass
    assert NETWORK in str(refused.value)


@pytest.mark.parametrize("profile", ON_GPU, ids=lambda profile: profile.name)
def test_the_command_refuses_it_before_anything_is_started(repository: Path, profile: Profile) -> None:
    done = run("-m", "scripts.serve", REAL, "--profile", profile.name, "--repository", repository)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: the profile {profile.name} runs {NETWORK} on a GPU")
    assert "NVIDIA's container" in done.stderr
    assert done.stderr.count("\n") == 1


needs_bfloat16 = pytest.mark.skipif(lacking(cpu_flags()) is not None, reason=str(lacking(cpu_flags())))
PICTURES = sorted(EXAMPLES.glob("*.jpg"))


@pytest.fixture
def bfloat16(repository: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer([REAL], repository, profile=OPENVINO.name) as server:
        yield server


@needs_bfloat16
def test_bfloat16_answers_as_float32_does(bfloat16: EmbeddedServer, classifier: Classifier) -> None:
    assert configuration(bfloat16.url).backend == "openvino"
    with Classifier(bfloat16.url, REAL) as client:
        found, expected = client.probabilities(PICTURES), classifier.probabilities(PICTURES)
        tops = [[label.index for label in answer.labels] for answer in client.classify_many(PICTURES, top_k=1)]
    assert not np.array_equal(found, expected)
    np.testing.assert_allclose(found, expected, atol=0.05)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
    assert tops == [[index] for index in expected.argmax(axis=1)]


@needs_bfloat16
def test_bfloat16_answers_do_not_depend_on_the_company(bfloat16: EmbeddedServer) -> None:
    with Classifier(bfloat16.url, REAL) as client:
        together = client.probabilities(PICTURES * 9)
        alone: NDArray[np.float32] = np.concatenate([client.probabilities([picture]) for picture in PICTURES])
    np.testing.assert_array_equal(together, np.tile(alone, (9, 1)))


def test_what_openvino_can_not_honour_is_said(models: Path) -> None:
    path = models / NETWORK / "configs" / f"{OPENVINO.name}.pbtxt"
    path.write_text(path.read_text().replace("NUM_STREAMS", "CPU_EXTENSION_PATH"))
    refused = pytest.raises(ServerError, match="parameters that this openvino backend doesn't have: CPU_EXTENSION_PATH")
    with refused, EmbeddedServer([REAL], models, profile=OPENVINO.name):
        pass
