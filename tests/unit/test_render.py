"""The committed configurations are the zoo's, and hang together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from scripts import render
from scripts.profiles import CUDA, ON_GPU, OPENVINO, PLANS, PROFILES, TENSORRT_PROVIDER, Plan, Profile
from tritonclas.preprocess import Preprocessing
from tritonclas.served import Served
from tritonclas.zoo import MODELS, Model

FILES = render.render(MODELS.values())
SHARED = sorted({model.preprocess_name for model in MODELS.values()})
OWN = Served(name="my_flowers", crop=96, resize_short=110, interpolation="linear", max_batch_size=4, classes=5)

every_file = pytest.mark.parametrize("path", FILES, ids=str)
every_row = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
every_profile = pytest.mark.parametrize("profile", [None, *PROFILES], ids=lambda p: p.name if p else "default")
every_preprocessor = pytest.mark.parametrize("name", SHARED)


def config(name: str, profile: Profile | None = None) -> pb.ModelConfig:
    return text_format.Parse(FILES[render.config_path(name, profile)], pb.ModelConfig())


def signature(tensors: list[pb.ModelInput | pb.ModelOutput]) -> list[tuple[str, int, list[int]]]:
    return [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in tensors]


@every_file
def test_committed_configuration_is_the_rendered_one(root: Path, path: Path) -> None:
    assert (root / render.REPOSITORY / path).read_text(encoding="utf-8") == FILES[path]


def test_nothing_else_is_committed(root: Path) -> None:
    assert list(render.differences(FILES, root / render.REPOSITORY)) == []


@every_file
def test_configuration_names_its_folder(path: Path) -> None:
    assert text_format.Parse(FILES[path], pb.ModelConfig()).name == path.parts[0]


def test_there_is_a_configuration_for_everything() -> None:
    assert len(FILES) == len(MODELS) * (2 + len(PROFILES)) + len(SHARED)


@every_row
def test_ensemble(model: Model) -> None:
    ensemble = config(model.name)
    preprocessor, network = (config(step.model_name) for step in ensemble.ensemble_scheduling.step)
    assert (preprocessor.name, network.name) == (model.preprocess_name, model.network_name)
    assert signature(ensemble.input) == signature(preprocessor.input) == [("image", pb.TYPE_STRING, [1])]
    crop = [("pixels", pb.TYPE_UINT8, [model.crop, model.crop, 3])]
    assert signature(preprocessor.output) == signature(network.input) == crop
    answer = [("probabilities", pb.TYPE_FP32, [model.classes])]
    assert signature(network.output) == signature(ensemble.output) == answer
    assert ensemble.max_batch_size == model.max_batch_size


@every_row
def test_ensemble_connects_its_steps(model: Model) -> None:
    """Each step reads what the ensemble or an earlier step gives, under the tensors' own names."""
    ensemble = config(model.name)
    known = {tensor.name for tensor in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        member = config(step.model_name)
        assert set(step.input_map) == {tensor.name for tensor in member.input}
        assert set(step.output_map) == {tensor.name for tensor in member.output}
        assert set(step.input_map.values()) <= known
        known |= set(step.output_map.values())
    assert {tensor.name for tensor in ensemble.output} <= known


@every_profile
@every_row
def test_no_ensemble_takes_larger_batches_than_its_members(model: Model, profile: Profile | None) -> None:
    members = (config(model.preprocess_name), config(model.network_name, profile))
    assert config(model.name).max_batch_size <= min(member.max_batch_size for member in members)


@every_profile
@every_row
def test_network(model: Model, profile: Profile | None) -> None:
    network = config(model.network_name, profile)
    default = config(model.network_name)
    assert (signature(network.input), signature(network.output)) == (
        signature(default.input),
        signature(default.output),
    )
    assert network.output[0].label_filename == "labels.txt"
    assert network.max_batch_size == model.max_batch_size
    assert (network.backend, network.default_model_filename) == (
        ("tensorrt", profile.plan)
        if isinstance(profile, Plan)
        else ("openvino" if profile == OPENVINO else "onnxruntime", "model.onnx")
    )
    kinds = {None: pb.ModelInstanceGroup.KIND_AUTO, OPENVINO: pb.ModelInstanceGroup.KIND_CPU}
    assert [group.kind for group in network.instance_group] == [kinds.get(profile, pb.ModelInstanceGroup.KIND_GPU)]


@every_profile
@every_row
def test_a_profile_changes_nothing_but_the_engine(model: Model, profile: Profile | None) -> None:
    """Callers never see the difference."""
    network, default = config(model.network_name, profile), config(model.network_name)
    engine = "backend", "default_model_filename", "instance_group", "model_warmup", "optimization", "parameters"
    for field in engine:
        network.ClearField(field)
        default.ClearField(field)
    assert network == default


@pytest.mark.parametrize("profile", ON_GPU, ids=lambda profile: profile.name)
def test_gpus_are_warmed_up_with_the_largest_batch(profile: Profile) -> None:
    model = MODELS["EfficientNetB0"]
    assert [warmup.batch_size for warmup in config(model.network_name, profile).model_warmup] == [1, 32]


@pytest.mark.parametrize("model", [MODELS["EfficientNetB0"], MODELS["EfficientNetB7"], OWN], ids=lambda row: row.name)
def test_onnx_runtimes_tensorrt_provider(model: Served) -> None:
    network = render.on_gpu(model, TENSORRT_PROVIDER)
    (accelerator,) = network.optimization.execution_accelerators.gpu_execution_accelerator
    sizes = {"min": 1, "opt": min(8, model.max_batch_size), "max": model.max_batch_size}
    picture = f"{model.crop}x{model.crop}x3"
    assert accelerator.name == "tensorrt"
    assert dict(accelerator.parameters) == {
        "precision_mode": "FP16",
        **{f"trt_profile_{bound}_shapes": f"pixels:{size}x{picture}" for bound, size in sizes.items()},
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": render.ENGINE_CACHE,
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": render.ENGINE_CACHE,
    }


def test_onnx_runtimes_cuda_provider() -> None:
    network = render.on_gpu(MODELS["EfficientNetB0"], CUDA)
    parameters = {key: value.string_value for key, value in network.parameters.items()}
    assert parameters == {"cudnn_conv_algo_search": "1"}
    assert not network.HasField("optimization")


@every_row
def test_openvino_in_bfloat16(model: Model) -> None:
    network = config(model.network_name, OPENVINO)
    parameters = {key: value.string_value for key, value in network.parameters.items()}
    assert parameters == {"HINT_BF16": "YES", "NUM_STREAMS": "1"}
    assert [warmup.batch_size for warmup in network.model_warmup] == [1]


def test_profile_names() -> None:
    assert len({profile.name for profile in PROFILES}) == len(PROFILES) == len(PLANS) + 3
    for profile in (*PLANS, TENSORRT_PROVIDER, OPENVINO):
        assert profile.name.endswith(f"-{profile.precision}")


@every_profile
@every_row
def test_network_is_warmed_up_with_its_own_input(model: Model, profile: Profile | None) -> None:
    network = config(model.network_name, profile)
    assert network.model_warmup
    for warmup in network.model_warmup:
        assert warmup.batch_size <= network.max_batch_size
        assert {name: list(tensor.dims) for name, tensor in warmup.inputs.items()} == {
            "pixels": [model.crop, model.crop, 3]
        }


@every_preprocessor
def test_preprocessor_does_what_its_name_says(name: str) -> None:
    parameters = {key: value.string_value for key, value in config(name).parameters.items()}
    preprocessing = Preprocessing(
        int(parameters.pop("resize_short")), int(parameters.pop("crop")), parameters.pop("interpolation")
    )
    assert name == f"preprocess_{preprocessing.resize_short}_{preprocessing.crop}_{preprocessing.interpolation}"
    assert not parameters


@every_file
def test_queues_are_bounded(path: Path) -> None:
    member = text_format.Parse(FILES[path], pb.ModelConfig())
    if member.platform == "ensemble":
        assert not member.HasField("dynamic_batching")
        return
    policy = member.dynamic_batching.default_queue_policy
    assert 0 < policy.max_queue_size <= 1000
    assert 0 < policy.default_timeout_microseconds <= 60_000_000
    assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
    assert policy.allow_timeout_override


@every_file
def test_queue_policies_come_with_a_second_instance(path: Path) -> None:
    """With one, Triton lets a request lie for half a second now and then: docs/model_repository.md."""
    member = text_format.Parse(FILES[path], pb.ModelConfig())
    if member.dynamic_batching.HasField("default_queue_policy"):
        assert [group.count for group in member.instance_group] == [2]


def checked(repository: Path) -> tuple[int, str]:
    result = CliRunner().invoke(render.main, ["--check", "--repository", str(repository)])
    return result.exit_code, result.output


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What the command writes into an empty folder."""
    result = CliRunner().invoke(render.main, ["--repository", str(tmp_path / "models")])
    assert (result.exit_code, result.output) == (0, "")
    return tmp_path / "models"


def test_what_was_written_is_what_was_meant(repository: Path) -> None:
    assert checked(repository) == (0, "")
    written = {path.relative_to(repository) for path in repository.rglob("*") if path.is_file()}
    assert written == set(FILES)


CHANGED = Path("EfficientNetB3_net", "configs", "t4-fp16.pbtxt")
FOREIGN = Path("EfficientNetB9", "config.pbtxt")
SPOIL: dict[str, tuple[Path, Callable[[Path], object]]] = {
    "changed": (CHANGED, lambda path: path.write_text(path.read_text() + "\n")),
    "missing": (CHANGED, Path.unlink),
    "not text": (CHANGED, lambda path: path.write_bytes(b"\xff\xfe")),
    "foreign": (FOREIGN, lambda path: (path.parent.mkdir(), path.write_text("name: 'EfficientNetB9'"))),
}


@pytest.mark.parametrize(("path", "spoil"), SPOIL.values(), ids=SPOIL)
def test_check_names_a_file_that_differs(repository: Path, path: Path, spoil: Callable[[Path], object]) -> None:
    spoil(repository / path)
    status, output = checked(repository)
    assert status == 1
    assert output.startswith("Error: 1 configuration")
    assert str(path) in output
    assert "python -m scripts.render" in output
    assert output.count("\n") == 1


def test_check_of_an_empty_repository_says_how_many_are_missing(tmp_path: Path) -> None:
    assert f"{len(FILES)} configurations differ" in checked(tmp_path)[1]


def test_check_writes_nothing(tmp_path: Path) -> None:
    checked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_writing_mends_what_differs(repository: Path) -> None:
    (repository / CHANGED).write_text("changed")
    render.write(FILES, repository)
    assert checked(repository)[0] == 0
