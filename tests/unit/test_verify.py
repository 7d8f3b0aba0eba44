"""scripts.verify: agreement with Paddle, and what doesn't count as one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from scripts import verify as verify_module
from scripts.agreement import Agreement, Batch, Rows, judge, same_top
from scripts.archive import Archive
from scripts.errors import VerificationError
from scripts.export import convert, export
from scripts.parameters import read_parameters
from scripts.verify import TOLERANCE, main, synthetic_pictures, verify
from tests.unit.conftest import CopyArchive
from tritonclas import zoo

LIMIT = 2e-5


@pytest.fixture
def tiny_onnx(tiny_exports: Path) -> Path:
    """The json archive's export, as it was before a test spoils its copy of the archive."""
    return tiny_exports / "json.onnx"


def flip(archive: Archive, name: str, value: float) -> Archive:
    """Sets the parameter's first element: the framing stays right."""
    place = next(parameter for parameter in read_parameters(archive) if parameter.name == name)
    with archive.parameters.open("r+b") as file:
        file.seek(place.offset)
        file.write(np.float32(value).tobytes())
    return archive


@pytest.mark.parametrize("kind", ["json", "legacy", "scores"])
def test_an_export_agrees(tiny_archive: CopyArchive, tiny_row: zoo.Model, tiny_exports: Path, kind: str) -> None:
    agreement = verify(tiny_archive(kind), tiny_exports / f"{kind}.onnx", tiny_row)
    assert agreement.difference < 1e-6
    assert agreement.top5_equal
    assert agreement.tolerance == TOLERANCE[zoo.EfficientNet]
    assert (agreement.picture in (1, 2, 3), agreement.batch in (1, 3)) == (True, True)


def test_changed_weights_are_found(tiny_archive: CopyArchive, tiny_row: zoo.Model, tiny_onnx: Path) -> None:
    message = (
        r"largest difference \d\.\de-\d at picture [123], batch [13]; at most 5e-5 is allowed; nothing was published"
    )
    with pytest.raises(VerificationError, match=message):
        verify(flip(tiny_archive("json"), "linear_0.w_0", 3.0), tiny_onnx, tiny_row)


@pytest.mark.parametrize("spoilt", ["pixel_scale", "pixel_shift"])
def test_a_wrong_normalisation_is_found(
    tiny_archive: CopyArchive, tiny_row: zoo.Model, tiny_onnx: Path, tmp_path: Path, spoilt: str
) -> None:
    model = onnx.load(tiny_onnx)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == spoilt)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), spoilt))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(VerificationError, match="largest difference"):
        verify(tiny_archive("json"), tmp_path / "model.onnx", tiny_row)


def test_nan_is_found(tiny_archive: CopyArchive, tiny_row: zoo.Model, tmp_path: Path) -> None:
    archive = flip(tiny_archive("json"), "conv2d_0.w_0", np.nan)
    export(convert(archive), tiny_row, tmp_path / "model.onnx")
    with pytest.raises(VerificationError, match="NaN"):
        verify(archive, tmp_path / "model.onnx", tiny_row)


def test_the_callers_pictures_are_asked_too(
    tiny_archive: CopyArchive, tiny_row: zoo.Model, tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Batch] = []

    def remember(asked: list[Batch], *others: object) -> Agreement:
        judged.extend(asked)
        return judge(asked, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(verify_module, "judge", remember)
    photograph = np.full((32, 32, 3), 77, np.uint8)
    verify(tiny_archive("json"), tiny_onnx, tiny_row, [photograph])
    assert [batch.numbers for batch in judged] == [(1,), (2,), (3,), (4,), (1, 2, 3), (4, 1, 2), (1, 2, 3, 4)]
    assert np.array_equal(judged[3].pictures[0], photograph)
    assert np.array_equal(judged[5].pictures[0], photograph)


def test_an_archive_that_paddle_refuses_is_an_error_of_one_line(
    tiny_archive: CopyArchive, tiny_row: zoo.Model, tiny_onnx: Path
) -> None:
    archive = tiny_archive("json")
    archive.program.write_text("{}")
    with pytest.raises(VerificationError, match=r"Paddle can't run the archive in .*last lines") as failure:
        verify(archive, tiny_onnx, tiny_row)
    assert "\n" not in failure.value.message


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_a_broken_onnx_file_is_an_error_of_one_line(
    tiny_archive: CopyArchive, tiny_row: zoo.Model, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(VerificationError, match=r"ONNX Runtime can't run .*model\.onnx") as failure:
        verify(tiny_archive("json"), tmp_path / "model.onnx", tiny_row)
    assert "\n" not in failure.value.message


def test_pictures_are_always_the_same_and_differ() -> None:
    first, again = synthetic_pictures(33), synthetic_pictures(33)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert {(picture.shape, picture.dtype.name) for picture in first} == {((33, 33, 3), "uint8")}
    assert len({picture.tobytes() for picture in first}) == 3


def test_the_command_refuses_what_it_has_not_exported(tmp_path: Path) -> None:
    onnx_path = tmp_path / "model.onnx"
    onnx_path.write_bytes(b"")
    result = CliRunner().invoke(main, [str(tmp_path), str(onnx_path)])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "isn't a model that this version has exported" in result.output
    assert "python -m scripts.verify EfficientNetB0_infer" in CliRunner().invoke(main, ["--help"]).output


def test_the_command_says_how_well_they_agree(tiny_archive: CopyArchive, tiny_onnx: Path) -> None:
    result = CliRunner().invoke(main, [str(tiny_archive("json").folder), str(tiny_onnx)])
    assert result.exit_code == 0, result.output
    assert re.search(r"largest difference \S+ at picture [1-6], batch [134] .*top 5 equal", result.output)


# the judgement

ASKED = [Batch((1,), np.zeros((1, 2, 2, 3), np.uint8)), Batch((2,), np.zeros((1, 2, 2, 3), np.uint8))]
FAIR: list[Rows] = [
    np.array([[0.4, 0.3, 0.2, 0.06, 0.03, 0.01]], np.float32),
    np.array([[0.01, 0.03, 0.06, 0.2, 0.3, 0.4]], np.float32),
]


#: As much as may differ, from one class to another.
SHIFT = np.array([[LIMIT, 0, 0, 0, 0, -LIMIT]], np.float32)


def test_equal_answers_agree() -> None:
    assert judge(ASKED, FAIR, FAIR, 6, LIMIT) == Agreement(0.0, 1, 1, top5_equal=True, tolerance=LIMIT)


def test_the_largest_difference_is_named() -> None:
    found = [FAIR[0], FAIR[1] + np.array([[1e-5, 0, 0, 0, 0, -1e-5]], np.float32)]
    agreement = judge(ASKED, FAIR, found, 6, LIMIT)
    assert (agreement.picture, agreement.batch) == (2, 1)
    assert agreement.difference == pytest.approx(1e-5, rel=1e-2)


def test_just_more_than_the_tolerance_is_refused() -> None:
    found = [FAIR[0], FAIR[1] + np.array([[3e-5, 0, 0, 0, 0, -3e-5]], np.float32)]
    with pytest.raises(VerificationError, match=r"3\.0e-5 at picture 2, batch 1; at most 2e-5"):
        judge(ASKED, FAIR, found, 6, LIMIT)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        pytest.param([FAIR[0], FAIR[0]], "the same for every picture", id="constant"),
        pytest.param([FAIR[0], FAIR[0] + 9 * SHIFT], "the same for every picture", id="nearly constant"),
        pytest.param([FAIR[0], FAIR[1] * np.nan], "the ONNX file answers NaN", id="nan"),
        pytest.param([FAIR[0], FAIR[1] * 2], "sum to 2", id="scores"),
        pytest.param([FAIR[0], FAIR[1][:, :5]], r"\(1, 5\) instead of \(1, 6\)", id="classes"),
        pytest.param([np.eye(6, dtype=np.float32)[:1], np.eye(6, dtype=np.float32)[1:2]], "certain", id="certain"),
    ],
)
def test_degenerate_answers_are_refused_though_paddle_gives_them_too(found: list[Rows], message: str) -> None:
    with pytest.raises(VerificationError, match=message + ".*nothing was published"):
        judge(ASKED, found if message == "certain" or "same" in message else FAIR, found, 6, LIMIT)


def test_answers_that_differ_enough_to_tell_a_wrong_network_pass() -> None:
    found = [FAIR[0], FAIR[0] + 11 * SHIFT]
    assert judge(ASKED, found, found, 6, LIMIT).difference == 0


def test_nan_of_paddle_alone_is_refused() -> None:
    with pytest.raises(VerificationError, match="Paddle answers NaN"):
        judge(ASKED, [FAIR[0], FAIR[1] * np.nan], FAIR, 6, LIMIT)


def test_scores_of_paddle_are_compared_after_a_softmax() -> None:
    scores = [np.log(rows) + 5 for rows in FAIR]
    assert judge(ASKED, scores, FAIR, 6, LIMIT).difference < 1e-6


@pytest.mark.parametrize(
    ("swapped", "gap", "same"),
    [((0, 1), 1e-6, True), ((0, 1), 1e-3, False), ((4, 5), 1e-3, False), ((5, 6), 1e-3, True)],
)
def test_the_order_of_the_first_five_counts_unless_they_are_near(
    swapped: tuple[int, int], gap: float, same: bool
) -> None:
    expected = np.linspace(0.3, 0.1, 8, dtype=np.float32)
    first, second = swapped
    expected[second] = expected[first] - np.float32(gap)
    found = expected.copy()
    found[[first, second]] = found[[second, first]]
    assert same_top(expected, found, LIMIT) is same


def test_a_different_order_is_refused() -> None:
    expected = [FAIR[0], np.array([[0.1, 0.2, 0.2 + 3e-5, 0.2, 0.2, 0.1 - 3e-5]], np.float32)]
    found = [FAIR[0], np.array([[0.1, 0.2 + 1.9e-5, 0.2 + 1.2e-5, 0.2, 0.2, 0.1 - 3.1e-5]], np.float32)]
    with pytest.raises(
        VerificationError, match="five likeliest classes differ, though no probability by more than 2e-5"
    ):
        judge(ASKED, expected, found, 6, LIMIT)


def test_every_family_has_a_tolerance() -> None:
    assert {type(row.network) for row in zoo.MODELS.values()} == set(TOLERANCE)
