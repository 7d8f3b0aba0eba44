"""The zoo: its rows, and the published tables that they are compared with."""

from __future__ import annotations

import csv
from dataclasses import astuple, replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from scripts.profiles import PLANS, Plan
from tritonclas import zoo
from tritonclas.published import imagenet_labels, published_latencies, published_models
from tritonclas.served import is_part
from tritonclas.zoo import MODELS, Model

SAMPLES = ["EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2"]
PUBLISHED = [name for name in MODELS if name not in SAMPLES]
COLUMNS = [("V100", "fp32"), ("T4", "fp16"), ("T4", "fp32")]

every_row = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def table(root: Path, name: str) -> list[dict[str, str]]:
    with (root / "client" / "tritonclas" / "data" / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows() -> None:
    assert list(MODELS) == [
        "ResNeXt101_32x8d_wsl",
        "ResNeXt101_32x16d_wsl",
        "ResNeXt101_32x32d_wsl",
        "ResNeXt101_32x48d_wsl",
        "Fix_ResNeXt101_32x48d_wsl",
        *(f"EfficientNetB{number}" for number in range(8)),
        "EfficientNetB0_small",
        *SAMPLES,
    ]


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_come_from_a_package_and_are_not_published(name: str) -> None:
    sample = zoo.find(name)
    assert (sample.archive_url, sample.published) == (None, None)
    assert find_spec(str(sample.sample))


def test_all_others_are_published() -> None:
    assert [model.name for model in MODELS.values() if not model.sample] == PUBLISHED


@every_row
def test_derived_names(model: Model) -> None:
    assert model.network_name == f"{model.name}_net"
    assert model.preprocess_name == f"preprocess_{model.resize_short}_{model.crop}_{model.interpolation}"
    assert model.interpolation == ("linear" if "ResNeXt" in model.name else "cubic")
    assert model.archive_url is None or model.archive_url.endswith(f"/dygraph/inference/{model.name}_infer.tar")


def test_names_of_models_parts_and_preprocessing_never_collide() -> None:
    names = {name for model in MODELS.values() for name in (model.name, model.network_name)}
    assert len(names) == 2 * len(MODELS)
    assert not names & {model.preprocess_name for model in MODELS.values()}


def test_preprocessing_is_shared_by_models_with_the_same_three_values() -> None:
    shared = {model.preprocess_name for model in MODELS.values()}
    assert len(shared) == 10
    assert zoo.find("ResNeXt101_32x48d_wsl").preprocess_name == "preprocess_256_224_linear"
    assert zoo.find("EfficientNetB7").preprocess_name == "preprocess_632_600_cubic"


def number(text: str) -> float | None:
    return float(text) if text else None


def test_published_models_are_the_file(root: Path) -> None:
    rows = table(root, "published_models.csv")
    assert [row["model"] for row in rows] == PUBLISHED == list(published_models())
    columns = ("top1", "top5", "reference_top1", "reference_top5", "flops_g", "params_m")
    for row in rows:
        assert astuple(published_models()[row["model"]]) == tuple(number(row[column]) for column in columns)


def test_published_sizes_are_the_rows(root: Path) -> None:
    published = {
        row["model"]: (int(row["crop_size"]), int(row["resize_short"])) for row in table(root, "published_models.csv")
    }
    assert published == {name: (MODELS[name].crop, MODELS[name].resize_short) for name in PUBLISHED}


def test_published_latencies_are_the_file(root: Path) -> None:
    rows = table(root, "published_latency.csv")
    latencies = published_latencies()
    assert len(rows) == len(latencies)
    for row in rows:
        latency = latencies[row["model"], row["gpu"], row["precision"], int(row["batch_size"])]
        assert latency == number(row["latency_ms"])


def test_published_latencies_are_complete() -> None:
    cells = {(name, *column, batch) for name in PUBLISHED for column in COLUMNS for batch in (1, 4, 8)}
    assert set(published_latencies()) == cells
    assert all(latency is None or latency > 0 for latency in published_latencies().values())


@pytest.mark.parametrize(
    ("cell", "latency_ms"),
    [
        (("ResNeXt101_32x8d_wsl", "V100", "fp32", 1), 13.55),
        (("EfficientNetB0", "T4", "fp16", 1), 3.40122),
        (("EfficientNetB7", "V100", "fp32", 8), 128.2),
        (("EfficientNetB7", "T4", "fp32", 8), None),
    ],
    ids=str,
)
def test_published_latencies_in_ms(cell: tuple[str, str, str, int], latency_ms: float | None) -> None:
    assert published_latencies()[cell] == latency_ms


def test_every_published_column_has_a_profile() -> None:
    assert {(profile.gpu, profile.precision) for profile in PLANS} >= set(COLUMNS)


@pytest.mark.parametrize("profile", PLANS, ids=lambda profile: profile.name)
def test_profiles(profile: Plan) -> None:
    assert profile.name == f"{profile.gpu.lower()}-{profile.precision}"
    assert profile.plan == f"{profile.name}.plan"


def test_labels() -> None:
    labels = imagenet_labels()
    assert len(labels) == 1000
    assert all(label == label.strip() != "" for label in labels)
    assert (labels[0][:5], labels[282], labels[999][:13]) == ("tench", "tiger cat", "toilet tissue")


def test_a_name_may_not_stand_twice() -> None:
    row = zoo.find("EfficientNetB0")
    with pytest.raises(ValueError, match="two rows named EfficientNetB0"):
        zoo.by_name((row, replace(row, crop=225)))


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        MODELS["EfficientNetB9"] = MODELS["EfficientNetB0"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("EfficientNetB9", "did you mean EfficientNetB"),
        ("efficientnetb7", "did you mean EfficientNetB7"),
        ("EfficientNet-B3", "EfficientNetB3"),
        ("ResNext101_32x8d", "did you mean ResNeXt101_32x8d_wsl"),
        ("fix_resnext101_32x48d", "did you mean Fix_ResNeXt101_32x48d_wsl"),
        ("vgg", "there are: ResNeXt101_32x8d_wsl, .*, EfficientNetLite2"),
        ("", "there are: "),
    ],
)
def test_unknown_names_list_near_ones(name: str, hint: str) -> None:
    with pytest.raises(zoo.UnknownModel, match=f"no model {name!r}; .*{hint}"):
        zoo.find(name)


@every_row
def test_find(model: Model) -> None:
    assert zoo.find(model.name) is model


@every_row
def test_parts_are_told_from_models(model: Model) -> None:
    assert is_part(model.network_name)
    assert is_part(model.preprocess_name)
    assert not is_part(model.name)
