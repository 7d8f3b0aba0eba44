"""What may be given as a certificate, a key or a header, and that none of it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from tritonclas import Classifier, InvalidRequest, Tls
from tritonclas._channel import channel_of
from tritonclas._security import headers_of

AUTHORITY = trustme.CA()
CA = AUTHORITY.cert_pem.bytes()
ISSUED = AUTHORITY.issue_cert("client.example")
CERTIFICATE, KEY = ISSUED.cert_chain_pems[0].bytes(), ISSUED.private_key_pem.bytes()


def test_files_and_their_content_will_do(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(CA)
    for ca in (path, str(path), CA, CA.decode(), None):
        assert Tls(ca=ca, certificate=CERTIFICATE, key=KEY).credentials()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"ca": "missing.pem"}, r"the TLS ca missing\.pem can't be read \(No such file"),
        ({"ca": "."}, r"the TLS ca \. can't be read \(Is a directory"),
        ({"ca": b"no certificate"}, r"the TLS ca that was given isn't in PEM format"),
        ({"certificate": CERTIFICATE}, "give both, or neither"),
        ({"key": KEY}, "give both, or neither"),
        ({"key": b"x", "certificate": CERTIFICATE}, "the TLS key that was given isn't in PEM format"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(given: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        Classifier("localhost:8001", "EfficientNetB0", tls=Tls(**given))


def test_nothing_of_it_is_shown() -> None:
    assert repr(Tls(CA, CERTIFICATE, KEY, "triton.example")) == "Tls(server_name='triton.example')"


def test_the_name_that_is_expected_goes_to_grpc() -> None:
    option = ("grpc.ssl_target_name_override", "triton.example")
    for endpoints in (["127.0.0.1:1"], ["127.0.0.1:1", "127.0.0.1:2"]):
        assert option in channel_of(endpoints, Tls(server_name="triton.example"))[1]
        assert not any(name == option[0] for name, _ in channel_of(endpoints, Tls())[1])


def test_headers_are_sent_in_lower_case() -> None:
    assert headers_of({"X-Tenant": "a b", "key": ""}) == (("x-tenant", "a b"), ("key", ""))
    assert headers_of(None) == headers_of({}) == ()


@pytest.mark.parametrize("name", ["", "a b", "schlüssel", "a:b", "grpc-timeout", "key-bin"])
def test_names_that_grpc_refuses(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"a header's name that begins with .* can't be one"):
        headers_of({name: "secret"})


def test_a_secret_in_the_wrong_place_isnt_shown() -> None:
    with pytest.raises(InvalidRequest) as caught:
        headers_of({"Authorization: Bearer s3cret": "="})
    assert "authorization" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(InvalidRequest) as caught:
        Tls(key=KEY.decode() + "x" * 9, certificate="missing.pem").credentials()
    assert "PRIVATE" not in f"{caught.value} {caught.value.__cause__}"


def test_several_endpoints_need_one_name() -> None:
    with pytest.raises(InvalidRequest, match=r"several endpoints with TLS need Tls\(server_name=\.\.\.\)"):
        Classifier(["one:8001", "other:8001"], "EfficientNetB0", tls=Tls(ca=CA))


@pytest.mark.parametrize("value", ["secret\n", "geheimnisträger", "\x00", b"secret", 7, None])
def test_values_that_grpc_refuses_and_that_arent_shown(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="the value of the header 'key' has characters") as caught:
        headers_of({"key": value})
    assert "secret" not in str(caught.value)
