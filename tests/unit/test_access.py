"""The options that say who may do what: what they become, and what is refused before anything is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.access import ADMIN_HEADER, Access, read_key
from scripts.errors import ScriptError
from scripts.serve import main
from tests.triton.certificates import HERE, Files

KEY = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("content", [KEY, f"{KEY}\n", f"  {KEY}\r\n"])
def test_the_key_has_no_newline(tmp_path: Path, content: str) -> None:
    path = tmp_path / "admin.key"
    path.write_bytes(content.encode())
    assert read_key(path) == KEY


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; put a key there"),
        ("\n", "is empty; put a key there"),
        ("two words\n", "must be one line of letters"),
        ("one\ntwo\n", "must be one line of letters"),
        ("a:b", "must be one line of letters"),
        ("a=b", "must be one line of letters"),
        ("\udcff", "must be one line of letters"),
    ],
)
def test_the_key_is_what_the_file_says(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "admin.key"
    path.write_bytes(content.encode(errors="surrogateescape"))
    done = CliRunner().invoke(main, ["EfficientNetB0", "--admin-key", str(path)])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr
    assert not content.strip() or content.strip() not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_that_cant_be_read(tmp_path: Path) -> None:
    path = tmp_path / "admin.key"
    path.write_text(KEY)
    path.chmod(0)
    with pytest.raises(ScriptError, match="can't be read"):
        read_key(path)


def test_what_cant_serve_tls_is_said(files: Files, tmp_path: Path) -> None:
    (certificate, private), (_, other) = files.pair(*HERE), files.pair(*HERE)
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    for options, message in (
        (["--tls-certificate", certificate], "give both --tls-certificate and --tls-key"),
        (["--tls-key", private], "give both --tls-certificate and --tls-key"),
        (["--tls-clients", files.ca], "--tls-clients asks for TLS"),
        (["--tls-certificate", certificate, "--tls-key", tmp_path / "none"], "none can't be read"),
        (["--tls-certificate", certificate, "--tls-key", other], "give a certificate and its own key"),
        (["--tls-certificate", nothing, "--tls-key", private], "give a certificate and its own key"),
        (["--tls-certificate", certificate, "--tls-key", private, "--tls-clients", nothing], "has no certificates"),
    ):
        done = CliRunner().invoke(main, ["EfficientNetB0", *map(str, options)])
        assert done.exit_code in (1, 2)
        assert message in done.stderr
        assert isinstance(done.exception, SystemExit)  # click has printed it


def test_no_key_is_shown() -> None:
    assert KEY not in repr(Access(admin_key=KEY))


def test_what_nobody_may_has_another_key_each_time() -> None:
    once, again = (Access().options(public=True) for _ in range(2))
    assert len(once) == len(again) == 2
    assert not set(once) & set(again)
    assert once[0].startswith("--grpc-restricted-protocol=shared-memory,model-repository,trace,logging:admin-key=")
    assert once[1].startswith(f"--http-restricted-api=shared-memory,model-repository,trace,logging:{ADMIN_HEADER}=")


def test_http_isnt_told_the_key_beside_tls(tmp_path: Path) -> None:
    access = Access(tls_certificate=tmp_path / "tls.crt", tls_key=tmp_path / "tls.key", admin_key=KEY)
    carried = [option for option in access.options(public=False) if KEY in option]
    assert carried == [
        f"--grpc-restricted-protocol=shared-memory,model-repository,trace,logging,statistics:admin-key={KEY}"
    ]
