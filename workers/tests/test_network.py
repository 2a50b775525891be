"""Promise 20 and section 7: verified TLS, the site's CA bundle and the site's proxy, for every connection."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from splitcore.errors import AppError
from workers.hub import HubClient, HubError
from workers.network import hub_address
from workers.tests.support import FakeHub, connect_proxy, enrolled_home, fake_hub


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure_hub(authority: trustme.CA) -> Iterator[FakeHub]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with fake_hub(tls=context) as hub:
        yield hub


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("CUTLAYER_CA_BUNDLE", str(path))
    return path


def code_of(hub_url: str, home: Path) -> str:
    """The number of the error that a call meets; empty when it succeeds."""
    client = HubClient.of(enrolled_home(home, hub_url))
    try:
        client.assignments()
    except HubError as error:
        return error.code
    finally:
        client.close()
    return ""


def test_an_unknown_authority_is_refused_and_the_site_s_bundle_makes_it_known(
    secure_hub: FakeHub, tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code_of(secure_hub.url, tmp_path / "home") == "CL-1431"
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("CUTLAYER_CA_BUNDLE", str(path))
    assert code_of(secure_hub.url, tmp_path / "home") == ""


def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, bundle: Path, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    with fake_hub(tls=context) as hub:
        assert code_of(hub.url, tmp_path / "home") == "CL-1431"


@pytest.mark.promise(20, figure="all refused")
def test_tls_1_1_is_refused(authority: trustme.CA, bundle: Path, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with fake_hub(tls=context) as hub:
        assert code_of(hub.url, tmp_path / "home") in ("CL-1430", "CL-1431")


def test_an_unreadable_bundle_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTLAYER_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(AppError, match="CL-1431"):
        HubClient.of(enrolled_home(tmp_path / "home", "https://127.0.0.1:9"))


def test_the_site_s_proxy_is_used_and_no_proxy_is_heeded(
    secure_hub: FakeHub, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect_proxy() as (address, targets):
        monkeypatch.setenv("HTTPS_PROXY", address)
        assert code_of(secure_hub.url, tmp_path / "home") == ""
        assert targets == [secure_hub.url.removeprefix("https://")]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert code_of(secure_hub.url, tmp_path / "home") == ""
        assert len(targets) == 1


def test_a_dead_proxy_has_its_own_message(secure_hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert code_of(secure_hub.url, tmp_path / "home") in ("CL-1430", "CL-1432")


@pytest.mark.parametrize("url", ["hub.example", "ftp://hub.example", "http://hub.example", "https://h/?a=1", ""])
def test_an_address_without_tls_or_form_is_refused(url: str) -> None:
    with pytest.raises(AppError, match="CL-1433"):
        hub_address(url)


def test_plain_http_is_for_this_machine_alone() -> None:
    assert hub_address("http://127.0.0.1:8000/") == "http://127.0.0.1:8000"
    assert hub_address(" https://hub.example/cutlayer/ ") == "https://hub.example/cutlayer"
