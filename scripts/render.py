"""The model repository's configurations, rendered from the zoo through Triton's own protobuf.

Every choice here has its reason in docs/model_repository.md, once, instead of in 90 configurations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from scripts.errors import ScriptError
from scripts.files import write_whole
from scripts.profiles import CUDA, OPENVINO, PROFILES, TYPICAL_BATCH, Plan, Profile
from tritonclas.cli import example
from tritonclas.served import LARGEST_BATCH, Served
from tritonclas.zoo import MODELS

REPOSITORY = Path("model_repository")
ONNX_FILE = "model.onnx"
LABELS_FILE = "labels.txt"

HEADER = "# Rendered from the zoo by python -m scripts.render; docs/model_repository.md gives the reasons.\n"
#: Of a model that isn't in the zoo.
OWN_HEADER = "# Rendered by python -m scripts.populate; docs/model_repository.md gives the reasons.\n"
#: In service until scripts.release puts another one there.
FIRST_VERSION = 1
MAX_QUEUE_SIZE = 128
DEFAULT_QUEUE_TIMEOUT_US = 10_000_000
#: At least two, or an idle server may let a request lie for half a second: docs/model_repository.md.
INSTANCES = 2

#: NUM_STREAMS of Triton's OpenVINO backend: all cores compute the same picture.
_STREAMS = 1
#: cudnn_conv_algo_search of Triton's ONNX Runtime backend.
_HEURISTIC = 1
#: Where ONNX Runtime's TensorRT provider keeps engines, and notes how fast each kernel is: a folder that anyone may
#: make, or a volume. All models share it: the names in their graphs tell them apart (`scripts.graph.naming`).
ENGINE_CACHE = "/tmp/tritonclas-tensorrt"  # noqa: S108  in the server's container

Files = dict[Path, str]


def render(models: Iterable[Served]) -> Files:
    """Every configuration of these models: path in the repository -> text."""
    files: Files = {}
    for model in models:
        files[config_path(model.name)] = as_text(ensemble(model))
        files[config_path(model.network_name)] = as_text(network(model))
        for profile in PROFILES:
            files[config_path(model.network_name, profile)] = as_text(profiled(model, profile))
        files[config_path(model.preprocess_name)] = as_text(preprocessor(model))
    return files


def config_path(name: str, profile: Profile | None = None) -> Path:
    """Where Triton looks for a model's configuration, in the repository."""
    return Path(name, "configs", f"{profile.name}.pbtxt") if profile else Path(name, "config.pbtxt")


def as_text(config: pb.ModelConfig) -> str:
    """The configuration as Triton reads it from a file."""
    return HEADER + str(text_format.MessageToString(config, use_short_repeated_primitives=True))


def ensemble(model: Served) -> pb.ModelConfig:
    """Encoded picture -> labelled probabilities: the preprocessing, then the network."""
    steps = [
        pb.ModelEnsembling.Step(
            model_name=model.preprocess_name,
            model_version=-1,
            input_map={"image": "image"},
            output_map={"pixels": "pixels"},
        ),
        pb.ModelEnsembling.Step(
            model_name=model.network_name,
            model_version=FIRST_VERSION,
            input_map={"pixels": "pixels"},
            output_map={"probabilities": "probabilities"},
        ),
    ]
    return pb.ModelConfig(
        name=model.name,
        platform="ensemble",
        max_batch_size=model.max_batch_size,
        version_policy=_latest(),
        input=[_image()],
        output=[_probabilities(model)],
        ensemble_scheduling=pb.ModelEnsembling(step=steps),
        response_cache=pb.ModelResponseCache(enable=True),
    )


def preprocessor(model: Served) -> pb.ModelConfig:
    """Encoded picture -> RGB crop, on the CPU, for all models with the same sizes and interpolation."""
    return pb.ModelConfig(
        name=model.preprocess_name,
        backend="imagenet_preprocess",
        max_batch_size=LARGEST_BATCH,
        version_policy=_latest(),
        input=[_image()],
        output=[pb.ModelOutput(name="pixels", data_type=pb.TYPE_UINT8, dims=[model.crop, model.crop, 3])],
        dynamic_batching=_dynamic_batching(),
        instance_group=[
            pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_CPU, count=INSTANCES),
        ],
        parameters={
            "resize_short": _parameter(model.resize_short),
            "crop": _parameter(model.crop),
            "interpolation": _parameter(model.interpolation),
        },
    )


def network(model: Served) -> pb.ModelConfig:
    """The network on ONNX Runtime: runs anywhere, on CUDA where Triton finds a GPU."""
    return _network(
        model,
        backend="onnxruntime",
        default_model_filename=ONNX_FILE,
        instance_group=[pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_AUTO, count=INSTANCES)],
        model_warmup=[_warmup(model, 1)],
    )


def profiled(model: Served, profile: Profile) -> pb.ModelConfig:
    """The network as a profile runs it."""
    return on_openvino(model) if profile == OPENVINO else on_gpu(model, profile)


def on_openvino(model: Served) -> pb.ModelConfig:
    """The network on OpenVINO, in bfloat16: on the CPU only."""
    return _network(
        model,
        backend="openvino",
        default_model_filename=ONNX_FILE,
        instance_group=[pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_CPU, count=INSTANCES)],
        model_warmup=[_warmup(model, 1)],
        parameters={"HINT_BF16": _parameter("YES"), "NUM_STREAMS": _parameter(_STREAMS)},
    )


def on_gpu(model: Served, profile: Profile) -> pb.ModelConfig:
    """The network as a profile for a GPU runs it: nowhere else."""
    return _network(
        model,
        instance_group=[pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_GPU, count=INSTANCES)],
        model_warmup=[_warmup(model, 1), _warmup(model, model.max_batch_size)],
        **_engine(model, profile),
    )


def _engine(model: Served, profile: Profile) -> dict[str, object]:
    """What computes, and from which file."""
    if isinstance(profile, Plan):
        return {"backend": "tensorrt", "default_model_filename": profile.plan}
    onnx: dict[str, object] = {"backend": "onnxruntime", "default_model_filename": ONNX_FILE}
    if profile == CUDA:
        return onnx | {"parameters": {"cudnn_conv_algo_search": _parameter(_HEURISTIC)}}
    return onnx | {"optimization": _tensorrt_provider(model, profile)}


def _tensorrt_provider(model: Served, profile: Profile) -> pb.ModelOptimizationPolicy:
    """ONNX Runtime's TensorRT provider: builds an engine for all batch sizes while the model is being loaded."""
    policy = pb.ModelOptimizationPolicy.ExecutionAccelerators
    picture = f"{model.crop}x{model.crop}x3"
    parameters = {
        "precision_mode": profile.precision.upper(),
        "trt_profile_min_shapes": f"pixels:1x{picture}",
        "trt_profile_opt_shapes": f"pixels:{min(TYPICAL_BATCH, model.max_batch_size)}x{picture}",
        "trt_profile_max_shapes": f"pixels:{model.max_batch_size}x{picture}",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": ENGINE_CACHE,
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": ENGINE_CACHE,
    }
    tensorrt = policy.Accelerator(name="tensorrt", parameters=parameters)
    return pb.ModelOptimizationPolicy(execution_accelerators=policy(gpu_execution_accelerator=[tensorrt]))


def _network(model: Served, **engine: object) -> pb.ModelConfig:
    return pb.ModelConfig(
        name=model.network_name,
        max_batch_size=model.max_batch_size,
        version_policy=pb.ModelVersionPolicy(all=pb.ModelVersionPolicy.All()),
        input=[pb.ModelInput(name="pixels", data_type=pb.TYPE_UINT8, dims=[model.crop, model.crop, 3])],
        output=[_probabilities(model, LABELS_FILE)],
        dynamic_batching=_dynamic_batching(),
        **engine,
    )


def _image() -> pb.ModelInput:
    return pb.ModelInput(name="image", data_type=pb.TYPE_STRING, dims=[1])


def _probabilities(model: Served, labels: str = "") -> pb.ModelOutput:
    return pb.ModelOutput(name="probabilities", data_type=pb.TYPE_FP32, dims=[model.classes], label_filename=labels)


def _latest() -> pb.ModelVersionPolicy:
    return pb.ModelVersionPolicy(latest=pb.ModelVersionPolicy.Latest(num_versions=1))


def _dynamic_batching() -> pb.ModelDynamicBatching:
    policy = pb.ModelQueuePolicy(
        timeout_action=pb.ModelQueuePolicy.REJECT,
        default_timeout_microseconds=DEFAULT_QUEUE_TIMEOUT_US,
        allow_timeout_override=True,
        max_queue_size=MAX_QUEUE_SIZE,
    )
    return pb.ModelDynamicBatching(default_queue_policy=policy)


def _warmup(model: Served, batch_size: int) -> pb.ModelWarmup:
    pixels = pb.ModelWarmup.Input(data_type=pb.TYPE_UINT8, dims=[model.crop, model.crop, 3], random_data=True)
    return pb.ModelWarmup(name=f"batch of {batch_size}", batch_size=batch_size, inputs={"pixels": pixels})


def _parameter(value: object) -> pb.ModelParameter:
    return pb.ModelParameter(string_value=str(value))


def write(files: Files, repository: Path) -> None:
    """Write the configurations below `repository`."""
    for path, text in files.items():
        write_whole(repository / path, text)


def differences(files: Files, repository: Path) -> Iterator[Path]:
    """Configurations that are missing in `repository`, say something else, or are neither the zoo's nor a user's."""
    for path, text in files.items():
        target = repository / path
        if not target.is_file() or target.read_bytes() != text.encode():
            yield path
    for found in sorted(repository.rglob("*.pbtxt")):
        if found.relative_to(repository) not in files and not found.read_text(encoding="utf-8").startswith(OWN_HEADER):
            yield found.relative_to(repository)


@click.command(epilog=example("python -m scripts.render --check"))
@click.option("--repository", type=click.Path(path_type=Path), default=REPOSITORY, show_default=True)
@click.option("--check", is_flag=True, help="Write nothing; fail where the repository differs from the zoo.")
def main(repository: Path, check: bool) -> None:
    """Write the configuration of every model of the zoo into the model repository."""
    files = render(MODELS.values())
    if not check:
        write(files, repository)
        return
    if different := list(differences(files, repository)):
        names = ", ".join(map(str, different[:3]))
        raise ScriptError(
            f"{len(different)} configurations differ from the zoo ({names}, …); run python -m scripts.render"
        )


if __name__ == "__main__":
    main()
