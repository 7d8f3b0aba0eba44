"""scripts.export: an archive becomes one ONNX file, or an error and no file."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from scripts import export as export_module
from scripts import files
from scripts.archive import Archive
from scripts.children import ChildFailed, run_child
from scripts.errors import ArchiveError, ExportError, ScriptError
from scripts.export import attach, convert, export, main
from scripts.onnx_file import move_onnx
from scripts.parameters import read_parameters
from scripts.provenance import EXPORT_VERSION, Origin, metadata
from scripts.signature import Signature, check_signature
from scripts.versions import MODEL_FILE, model_file
from tests.unit.conftest import CopyArchive
from tritonclas import zoo

ROOT = Path(__file__).parents[2]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "model.onnx"


def assert_nothing_is_left(target: Path) -> None:
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["json", "legacy"])
def test_the_file_is_complete_and_tidy(tiny_exports: Path, kind: str) -> None:
    model = onnx.load(tiny_exports / f"{kind}.onnx")
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds[:4] == ["Cast", "Transpose", "Mul", "Add"]
    assert kinds[-1] == "Softmax"
    assert kinds.count("Conv") == 3
    assert not {"Constant", "Identity", "BatchNormalization"} & set(kinds)
    assert all(tensor.data_location == TensorProto.DEFAULT for tensor in model.graph.initializer)


def test_only_the_finished_files_are_left(tiny_exports: Path) -> None:
    assert sorted(path.name for path in tiny_exports.iterdir()) == ["json.onnx", "legacy.onnx", "scores.onnx"]


def test_both_formats_give_the_same_weights(tiny_exports: Path) -> None:
    json, legacy = (
        [tensor for tensor in onnx.load(path).graph.initializer if tensor.data_type == TensorProto.FLOAT]
        for path in (tiny_exports / "json.onnx", tiny_exports / "legacy.onnx")
    )
    assert json == legacy
    assert len(json) == 10


def test_weights_are_those_of_the_archive(tiny_exports: Path, tiny_archive: CopyArchive) -> None:
    archive = tiny_archive("json")
    exported = {tensor.name: tensor for tensor in onnx.load(tiny_exports / "json.onnx").graph.initializer}
    place = next(parameter for parameter in read_parameters(archive) if parameter.name == "linear_0.w_0")
    content = archive.parameters.read_bytes()[place.offset : place.offset + place.nbytes]
    assert exported["linear_0.w_0"].raw_data == content


def test_the_file_says_what_it_is(tiny_exports: Path, tiny_archive: CopyArchive, tiny_row: zoo.Model) -> None:
    model = onnx.load(tiny_exports / "json.onnx")
    assert (model.ir_version, model.producer_name) == (8, "tritonclas")
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties == metadata(tiny_exports / "json.onnx")
    assert properties["export_version"] == EXPORT_VERSION
    archive = tiny_archive("json")
    assert properties["parameters_sha256"] == hashlib.sha256(archive.parameters.read_bytes()).hexdigest()
    origin = Origin.read(tiny_exports / "json.onnx")
    assert origin == Origin.of(archive, tiny_row)
    assert origin is not None
    assert (origin.kind, origin.source, origin.model.crop, origin.model.resize_short) == ("own", "tests", 32, 36)


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff" * 100, b"\x72\x05abc"], ids=["none", "empty", "noise", "cut short"]
)
def test_a_file_that_says_nothing_has_no_origin(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    assert metadata(path) == {}
    assert Origin.read(path) is None


def test_another_version_of_the_export_has_no_origin(tiny_exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.provenance.EXPORT_VERSION", "another")
    assert Origin.read(tiny_exports / "json.onnx") is None


def made_values(path: Path) -> set[str]:
    return {name for node in onnx.load(path).graph.node for name in node.output}


def test_no_other_weights_compute_values_of_the_same_names(
    tiny_archive: CopyArchive, tiny_row: zoo.Model, tiny_exports: Path, target: Path
) -> None:
    """ONNX Runtime's TensorRT provider takes an engine that it kept for another one's by these names."""
    first = made_values(tiny_exports / "json.onnx")
    archive = tiny_archive("json")
    content = bytearray(archive.parameters.read_bytes())
    content[-1] ^= 1
    archive.parameters.write_bytes(content)
    export(convert(archive), tiny_row, target)
    assert made_values(target) & first == {"probabilities"}
    assert len(made_values(target)) == len(first) > 5
    export(convert(tiny_archive("legacy")), replace(tiny_row, mean=(0.5, 0.5, 0.5)), target)
    assert made_values(target) & made_values(tiny_exports / "legacy.onnx") == {"probabilities"}


def test_scores_become_probabilities(tiny_exports: Path) -> None:
    last = onnx.load(tiny_exports / "scores.onnx").graph.node[-1]
    assert (last.op_type, list(last.output)) == ("Softmax", ["probabilities"])


def test_a_multi_label_archive_is_refused(tiny_archive: CopyArchive, tiny_row: zoo.Model, target: Path) -> None:
    with pytest.raises(ExportError, match="multi-label"):
        export(convert(tiny_archive("sigmoid")), tiny_row, target)
    assert_nothing_is_left(target)


def test_another_size_is_refused_and_explained(tiny_archive: CopyArchive, tiny_row: zoo.Model, target: Path) -> None:
    with pytest.raises(ArchiveError) as refusal:
        export(convert(tiny_archive("json")), replace(tiny_row, crop=380), target)
    for part in ("exported for 32x32", "evaluated at 380x380", "EfficientNetB4", "Global.image_shape=[3,380,380]"):
        assert part in refusal.value.message
    assert "\n" not in refusal.value.message
    assert_nothing_is_left(target)


def graph(taken: list[list[int | None]], answered: list[list[int | None]]) -> onnx.GraphProto:
    def values(shapes: list[list[int | None]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(str(shape), TensorProto.FLOAT, shape) for shape in shapes]

    return helper.make_graph([], "empty", values(taken), values(answered))


def test_another_number_of_classes_is_refused(tiny_archive: CopyArchive, tiny_row: zoo.Model) -> None:
    eleven = Signature((None, 3, 32, 32), (None, 11))
    with pytest.raises(ArchiveError, match="answers N x 11 instead of N x 10"):
        check_signature(eleven, tiny_archive("json"), tiny_row)


def test_a_fixed_batch_is_refused(tiny_archive: CopyArchive, tiny_row: zoo.Model, target: Path) -> None:
    with pytest.raises(
        ArchiveError, match=r"takes 1 x 3 x 32 x 32 instead of N .*input shape \[None, 3, height, width\]"
    ):
        export(convert(tiny_archive("single")), tiny_row, target)
    assert_nothing_is_left(target)


def test_sizes_that_are_not_fixed_fit(tiny_archive: CopyArchive, tiny_row: zoo.Model) -> None:
    check_signature(Signature((None, 3, None, None), (None, None)), tiny_archive("json"), tiny_row)


@pytest.mark.parametrize(
    ("taken", "answered", "message"),
    [
        ([[None, 3, 32, 32]], [[None, 10], [None, 64]], "1 inputs and 2 outputs"),
        ([[None, 3, 32, 32]] * 2, [[None, 10]], "2 inputs and 1 outputs"),
        ([[None, 1, 32, 32]], [[None, 10]], "takes N x 1 x 32 x 32 instead of N x 3 x height x width"),
        ([[None, 32, 32, 3]], [[None, 10]], "takes N x 32 x 32 x 3 instead of N x 3 x height x width"),
        ([[None, 3, 32, 32]], [[None, 10, 8, 8]], "answers N x 10 x 8 x 8 instead of N x classes"),
        ([[None, 3, 32, 32]], [[4, 10]], "answers 4 x 10 instead of N x classes"),
    ],
    ids=["outputs", "inputs", "grey", "channels last", "map", "fixed batch"],
)
def test_what_is_no_classifier_is_refused(
    tiny_archive: CopyArchive, taken: list[list[int | None]], answered: list[list[int | None]], message: str
) -> None:
    with pytest.raises(
        ArchiveError, match=f"isn't a classifier of pictures: it (has|takes|answers)?.*{message.split(' ', 1)[1]}"
    ):
        Signature.of(graph(taken, answered), tiny_archive("json"))


@pytest.mark.parametrize(("taken", "size"), [((None, 3, 48, 192), (192, 48)), ((None, 3, None, 32), None)])
def test_a_signature_s_size_is_width_and_height(taken: tuple[int | None, ...], size: tuple[int, int] | None) -> None:
    assert Signature(taken, (None, 5)).size == size


def test_truncated_weights_are_refused(tiny_archive: CopyArchive, tiny_row: zoo.Model, target: Path) -> None:
    archive = tiny_archive("json")
    archive.parameters.write_bytes(archive.parameters.read_bytes()[:-1])
    with pytest.raises(ArchiveError, match="cut short"):
        export(convert(archive), tiny_row, target)
    assert_nothing_is_left(target)


def test_a_missing_file_is_named(tiny_archive: CopyArchive) -> None:
    archive = tiny_archive("json")
    archive.parameters.unlink()
    with pytest.raises(ArchiveError, match=r"no inference\.pdiparams"):
        Archive.open(archive.folder, "own", "tests")


@pytest.mark.parametrize("kind", ["json", "legacy"])
def test_what_paddle2onnx_cannot_convert_is_an_error_of_one_line(
    tiny_archive: CopyArchive, tiny_row: zoo.Model, target: Path, kind: str
) -> None:
    archive = tiny_archive(kind)
    spoilt = archive.program.read_bytes().replace(b"conv2d", b"conv2e").replace(b"conv2e_", b"conv2d_")
    archive.program.write_bytes(spoilt)
    with pytest.raises(ExportError, match=r"paddle2onnx can't convert .*inference\..*last lines") as failure:
        export(convert(archive), tiny_row, target)
    assert "\n" not in failure.value.message
    assert_nothing_is_left(target)


def test_a_failure_leaves_the_older_file(tiny_archive: CopyArchive, tiny_row: zoo.Model, target: Path) -> None:
    target.write_bytes(b"older")
    with pytest.raises(ArchiveError):
        export(convert(tiny_archive("json")), replace(tiny_row, classes=11), target)
    assert target.read_bytes() == b"older"


def test_a_write_that_fails_half_way_leaves_the_older_file(
    tiny_archive: CopyArchive, tiny_row: zoo.Model, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(model: onnx.ModelProto, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    target.write_bytes(b"older")
    monkeypatch.setattr(export_module, "write_onnx", full_disk)
    with pytest.raises(ScriptError, match="no space left"):
        export(convert(tiny_archive("json")), tiny_row, target)
    assert target.read_bytes() == b"older"
    assert [path.name for path in target.parent.iterdir()] == ["model.onnx"]


def weights_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.onnx_file.LARGEST_MESSAGE", 100)
    monkeypatch.setattr("scripts.onnx_file._SMALLEST_OUTSIDE", 100)


def external_data(folder: Path) -> list[onnx.TensorProto]:
    model = onnx.load(folder / MODEL_FILE, load_external_data=False)
    return [tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]


def test_large_weights_go_into_a_file_of_their_own(
    tiny_archive: CopyArchive, tiny_row: zoo.Model, target: Path, tiny_exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_outside(monkeypatch)
    export(convert(tiny_archive("json")), tiny_row, target)
    (data,) = target.glob("weights-*.data")
    assert sorted(path.name for path in target.iterdir()) == [MODEL_FILE, data.name]
    outside = external_data(target)
    assert all(
        int(entry.value) % 4096 == 0 for each in outside for entry in each.external_data if entry.key == "offset"
    )
    assert {entry.value for each in outside for entry in each.external_data if entry.key == "location"} == {data.name}
    loaded, single = (
        {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
        for path in (target / MODEL_FILE, tiny_exports / "json.onnx")
    )
    assert loaded.keys() == single.keys()
    assert all((loaded[name] == single[name]).all() for name in single)
    assert Origin.read(target / MODEL_FILE) is not None


def test_a_folder_of_weights_is_replaced_by_another(
    tiny_archive: CopyArchive, tiny_row: zoo.Model, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_outside(monkeypatch)
    names = set()
    for number, kind in enumerate(("json", "scores")):
        archive = tiny_archive(kind)
        content = bytearray(archive.parameters.read_bytes())
        content[-1] ^= number
        archive.parameters.write_bytes(content)
        export(convert(archive), tiny_row, target)
        names.update(path.name for path in target.iterdir())
        assert len(list(target.iterdir())) == 2
        onnx.load(target / MODEL_FILE)  # finds its weights
    assert len(names) == 3
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def unsupported(*paths: Path) -> None:
    raise OSError(errno.EINVAL, "Invalid argument", str(paths[0]), None, str(paths[1]))


@pytest.mark.parametrize("exchange", [files.exchange, unsupported], ids=["exchange", "NFS"])
def test_a_file_takes_a_folders_place_and_the_reverse(
    tiny_archive: CopyArchive,
    tiny_row: zoo.Model,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    exchange: Callable[[Path, Path], None],
) -> None:
    monkeypatch.setattr("scripts.onnx_file.exchange", exchange)
    converted = convert(tiny_archive("json"))
    for outside in (False, True, True, False):
        with monkeypatch.context() as patch:
            if outside:
                weights_outside(patch)
            export(converted, tiny_row, target)
        assert target.is_dir() is outside
        onnx.load(target / MODEL_FILE if outside else target)
    assert [path.name for path in target.parent.iterdir()] == ["model.onnx"]


def written(path: Path, text: str, *, as_folder: bool) -> Path:
    if as_folder:
        path.mkdir()
        (path / MODEL_FILE).write_text(text)
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("kinds", [(False, True), (True, False), (True, True)], ids=str)
def test_where_they_cant_an_interruption_leaves_the_old_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: tuple[bool, bool]
) -> None:
    old, new = (
        written(tmp_path / text, text, as_folder=kind) for text, kind in zip(("old", "new"), kinds, strict=True)
    )
    monkeypatch.setattr("scripts.onnx_file.exchange", unsupported)

    def interrupted(path: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        move_onnx(new, old)
    assert model_file(old).read_text() == "old"


@pytest.mark.parametrize("kinds", [(False, True), (True, False), (True, True)], ids=str)
def test_what_cant_be_renamed_to_it_trades_places_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: tuple[bool, bool]
) -> None:
    old, new = (
        written(tmp_path / text, text, as_folder=kind) for text, kind in zip(("old", "new"), kinds, strict=True)
    )
    for step in ("rename", "replace", "unlink"):
        monkeypatch.delattr(Path, step)  # whoever used one would leave a moment with neither
    move_onnx(new, old)
    assert model_file(old).read_text() == "new"
    assert model_file(new).read_text() == "old"


def test_what_is_not_there_trades_no_place(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        files.exchange(tmp_path, tmp_path / "missing")


def test_a_weight_that_the_archive_lacks_is_named(tiny_archive: CopyArchive) -> None:
    model = helper.make_model(graph([[None, 3]], [[None, 3]]))
    model.graph.node.append(helper.make_node("Mul", [model.graph.input[0].name, "strange"], ["y"]))
    with pytest.raises(ExportError, match="uses strange"):
        attach(model, [], tiny_archive("json"))


def test_a_folder_that_is_not_there_is_named(tiny_archive: CopyArchive, tiny_row: zoo.Model, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="nowhere is not a folder"):
        export(convert(tiny_archive("json")), tiny_row, tmp_path / "nowhere" / "model.onnx")


def test_the_command_refuses_in_one_line(tiny_archive: CopyArchive, target: Path) -> None:
    archive = tiny_archive("json")
    result = CliRunner().invoke(main, ["EfficientNetB0", str(archive.folder), "--out", str(target)])
    assert result.exit_code == 1
    assert result.output.startswith("Error: the archive in ")
    assert result.output.count("\n") == 1


def test_the_command_replaces_a_folder_of_its_own_and_no_other(
    tiny_archive: CopyArchive, tiny_row: zoo.Model, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_outside(monkeypatch)
    monkeypatch.setattr(zoo, "MODELS", {"Tiny": tiny_row})
    words = ["Tiny", str(tiny_archive("json").folder), "--out", str(target)]
    for _ in range(2):
        result = CliRunner().invoke(main, words)
        assert (result.exit_code, target.is_dir()) == (0, True), result.output
    (weights,) = target.glob("weights-*.data")
    for spoil in ((target / "notes.txt").touch, lambda: [(target / "notes.txt").unlink(), weights.unlink()]):
        spoil()
        before = sorted(target.iterdir())
        result = CliRunner().invoke(main, words)
        assert f"{target} is a folder, and none that this command has written" in result.output
        assert sorted(target.iterdir()) == before


def test_the_command_lists_near_names(target: Path) -> None:
    result = CliRunner().invoke(main, ["EficientNetB0", "anywhere", "--out", str(target)])
    assert result.exit_code == 2
    assert "did you mean EfficientNetB0" in result.output


def test_help_has_an_example_and_does_not_load_paddle() -> None:
    program = "import sys, scripts.export, scripts.verify; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
    assert "python -m scripts.export EfficientNetB0" in CliRunner().invoke(main, ["--help"]).output


# the child process


def test_a_failing_child_shows_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(
        ChildFailed, match=r"exit status 1; its last lines: .*No module named 'scripts\.children\.nothing'"
    ):
        run_child("nothing", scratch=tmp_path)


def test_a_child_whose_parent_has_gone_does_not_begin() -> None:
    command = [sys.executable, "-m", "scripts.children", "1", "structure", "a", "b"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "")


CHILD = """
import os, signal
from scripts.processes import die_with
die_with(os.getppid(), signal.SIGKILL)
print("up", flush=True)
signal.pause()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_a_child_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        os.kill(parent.pid, signal.SIGKILL)
        assert parent.stdout.read() == b""  # the child held the other end: end of file means that it ended
