"""Tar files of archives: both layouts and both programs are taken out, everything else stays in."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from scripts import unpack as unpack_module
from scripts.errors import ScriptError
from scripts.unpack import MAX_BESIDE_BYTES, MAX_MEMBERS, unpack
from tests.unit.tar_files import WHOLE, tar

FLAT = {"inference.json": b"{}", "inference.pdiparams": b"weights"}


def unpacked(body: bytes, tmp_path: Path) -> dict[str, bytes]:
    (tmp_path / "archive.tar").write_bytes(body)
    unpack(tmp_path / "archive.tar", tmp_path / "place" / "B0", "it")
    return {path.name: path.read_bytes() for path in (tmp_path / "place" / "B0").iterdir()}


def refusal(body: bytes, tmp_path: Path) -> str:
    with pytest.raises(ScriptError) as caught:
        unpacked(body, tmp_path)
    assert list((tmp_path / "place").iterdir()) == []
    assert "\n" not in caught.value.message
    return caught.value.message


def headers(*members: tarfile.TarInfo, end: bytes = bytes(1024)) -> bytes:
    """A tar of these members, each with as much content as it says, at most a block."""
    blocks = (member.tobuf(tarfile.GNU_FORMAT) + bytes(512 if member.size > 0 else 0) for member in members)
    return b"".join(blocks) + end


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, "/etc/passwd"
    return made


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("members", [WHOLE, FLAT, {f"./a/b/{name}": content for name, content in FLAT.items()}])
def test_an_archive_is_taken_out_wherever_it_stands(members: dict[str, bytes], mode: str, tmp_path: Path) -> None:
    expected = {Path(name).name: content for name, content in members.items()}

    assert unpacked(tar({**members}, mode), tmp_path) == expected


def test_what_nobody_needs_stays_in(tmp_path: Path) -> None:
    noise = {"../evil": b"", "inference": "/etc", "B0_infer/._inference.pdmodel": b"mac", "B0_infer/readme": b""}

    assert unpacked(tar({**noise, **WHOLE}), tmp_path).keys() == {"inference.pdmodel", "inference.pdiparams"}
    assert not list(tmp_path.rglob("evil"))


def test_the_configuration_beside_the_program_comes_along(tmp_path: Path) -> None:
    assert unpacked(tar({"inference.yml": b"Global:", **FLAT}), tmp_path)["inference.yml"] == b"Global:"


@pytest.mark.parametrize("first", [True, False])
def test_the_configuration_of_something_else_doesnt(tmp_path: Path, first: bool) -> None:
    other = {"other/inference.yml": b"Global:"}

    assert unpacked(tar(other | WHOLE if first else WHOLE | other), tmp_path).keys() == {
        "inference.pdmodel",
        "inference.pdiparams",
    }


@pytest.mark.parametrize(("size", "fits"), [(MAX_BESIDE_BYTES, True), (MAX_BESIDE_BYTES + 1, False)])
def test_the_configuration_is_small(tmp_path: Path, size: int, fits: bool) -> None:
    body = tar({**FLAT, "inference.yml": bytes(size)})

    if fits:
        assert len(unpacked(body, tmp_path)["inference.yml"]) == size
    else:
        assert f"holds inference.yml of {size} bytes" in refusal(body, tmp_path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is cut short or no tar file"),
        (b"<html>not found</html>", "is cut short or no tar file"),
        (tar(WHOLE)[:1600], "is cut short or no tar file"),
        (tar(WHOLE, "w:gz")[:60], "is cut short or no tar file"),
        (tar(WHOLE, "w:xz")[:60], "is cut short or no tar file"),
        (tar({**WHOLE, "../../inference.json": b"{}"}), "a path that leads outside"),
        (tar({**WHOLE, "/inference.json": b"{}"}), "a path that leads outside"),
        (tar({"inference.pdmodel": b"", "inference.pdiparams": "/etc/passwd"}), "a link"),
        (tar({**WHOLE, "B0_infer/inference.yml": "/etc/passwd"}), "a link"),
        (tar({**WHOLE, "other/inference.pdmodel": b""}), "holds inference.pdmodel more than once"),
        (tar({"a/inference.json": b"", "b/inference.pdiparams": b""}), "in different folders"),
        (tar({**WHOLE, "other/inference.json": b""}), "in different folders"),
        (tar({"inference.pdmodel": b""}), "must hold inference.json or inference.pdmodel, and inference.pdiparams"),
        (tar({"inference.pdiparams": b""}), "must hold inference.json or inference.pdmodel, and inference.pdiparams"),
        (tar({"inference.pdiparams": b"", "inference.yml": b""}), "must hold inference.json or inference.pdmodel"),
    ],
)
def test_what_isnt_one_archive_is_refused(body: bytes, message: str, tmp_path: Path) -> None:
    assert message in refusal(body, tmp_path)


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE", "DIRTYPE"])
def test_only_regular_files_are_taken(kind: str, tmp_path: Path) -> None:
    body = headers(member("inference.json"), member("inference.pdiparams", getattr(tarfile, kind)))

    assert "'inference.pdiparams', a link, a device or" in refusal(body, tmp_path)


def test_a_tar_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    total = sum(map(len, FLAT.values()))
    monkeypatch.setattr(unpack_module, "MAX_BYTES", total)
    assert unpacked(tar(FLAT), tmp_path)

    monkeypatch.setattr(unpack_module, "MAX_BYTES", total - 1)
    (tmp_path / "again").mkdir()
    assert "unpacks to more than" in refusal(tar(FLAT, "w:gz"), tmp_path / "again")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    body = headers(member("inference.pdiparams", size=unpack_module.MAX_BYTES + 1), end=b"")

    assert "unpacks to more than 8 GiB" in refusal(body, tmp_path)


@pytest.mark.parametrize(("count", "fits"), [(MAX_MEMBERS - 2, True), (MAX_MEMBERS - 1, False)])
def test_members_are_counted(tmp_path: Path, count: int, fits: bool) -> None:
    body = tar({**FLAT, **{f"file{number}": b"" for number in range(count)}})

    if fits:
        assert unpacked(body, tmp_path) == FLAT
    else:
        assert "holds more than 1000 files" in refusal(body, tmp_path)


def negative(name: str) -> bytes:
    """A header whose size is -1024, as base-256: tarfile of Python 3.11 would go back, and so round for ever."""
    block = bytearray(member(name).tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (256**12 - 1024).to_bytes(12, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (headers(member("x", tarfile.XHDTYPE, 2**16 + 1)), "a header of 65537 bytes"),
        (headers(member("x", tarfile.XGLTYPE, 2**40)), "a header of"),
        (headers(member("x", tarfile.GNUTYPE_LONGNAME, 2**33)), "a header of"),
        (headers(member("inference.json", tarfile.GNUTYPE_SPARSE)), "a file with holes"),
        (headers(member("first"), end=b"") + negative("x"), "a header of -1024 bytes"),
    ],
    ids=["pax", "global pax", "long name", "sparse", "negative"],
)
def test_headers_that_are_traps_are_refused(body: bytes, named: str, tmp_path: Path) -> None:
    assert f"holds {named}" in refusal(body, tmp_path)


@pytest.mark.parametrize(
    "pax",
    [
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"},
        {"GNU.sparse.map": "0,0", "GNU.sparse.size": "9"},
    ],
)
def test_files_with_holes_are_refused_however_they_are_written(pax: dict[str, str], tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        sparse = member("inference.json", size=3)
        sparse.pax_headers = pax
        holes = b"9\n\n"  # nine, of which none follows: tarfile of Python 3.11 looks for them for ever
        made.addfile(sparse, io.BytesIO(holes))

    assert "don't trust it" in refusal(buffer.getvalue(), tmp_path)


def test_a_chain_of_headers_ends(tmp_path: Path) -> None:
    body = headers(*(member("x", tarfile.XHDTYPE) for _ in range(5000)))

    assert "is cut short or no tar file" in refusal(body, tmp_path)


def test_long_names_are_no_trap(tmp_path: Path) -> None:
    members = {f"{'folder/' * 40}{name}": content for name, content in FLAT.items()}

    assert unpacked(tar(members), tmp_path) == FLAT


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpack_module.shutil, "copyfileobj", full)

    assert "(No space left on device); make room there" in refusal(tar(FLAT), tmp_path)
