"""A token that the hub does not take: the command says what to type next."""

from __future__ import annotations

import pytest

from splitcore.errors import AppError
from workers.rest import RestClient
from workers.tests.support import FakeHub, fake_hub


@pytest.mark.parametrize("code", ["CL-1610", "CL-1604"])
def test_a_token_that_is_not_taken_names_the_page_and_the_command(code: str) -> None:
    hub = FakeHub()
    hub.refusals["/runs"] = (401, {"code": code, "message": "No.", "remedy": "Send a header.", "details": {}})
    with fake_hub(hub):
        client = RestClient(hub.url, "clt_wrong")
        with pytest.raises(AppError) as caught:
            client.get("/runs")
    assert caught.value.code == code
    assert caught.value.message == (
        "The hub rejected this token. It is unknown, expired or revoked." if code == "CL-1610" else "No."
    )
    assert f"{hub.url}/org/tokens" in caught.value.remedy
    assert "export CUTLAYER_TOKEN=clt_" in caught.value.remedy


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "CUTLAYER_HUB and CUTLAYER_TOKEN are not set."),
        ({"CUTLAYER_TOKEN": "clt_1"}, "CUTLAYER_HUB is not set."),
        ({"CUTLAYER_HUB": "http://hub.example"}, "CUTLAYER_TOKEN is not set."),
    ],
)
def test_a_missing_token_or_hub_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], message: str
) -> None:
    for name in ("CUTLAYER_HUB", "CUTLAYER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AppError) as caught:
        RestClient.from_environment()
    assert (caught.value.code, caught.value.message) == ("CL-1444", message)
    assert "export CUTLAYER_HUB=" in caught.value.remedy
