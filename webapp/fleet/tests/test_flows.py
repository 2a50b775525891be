"""Everything that a worker may tell the hub belongs to a declared flow, and each flow to the hub has its way there."""

from __future__ import annotations

from splitcore.flows import Part
from splitcore.flows.table import general_flows
from webapp.fleet.worker_urls import urlpatterns
from workers.contracts import PAYLOADS, Beat, Hello

HELLO = {  # each field of a hello, by words of the flow that it belongs to
    "facts": "hardware",
    "checks": "the doctor's checks",
    "policy": "limits of the site policy",
    "console_url": "address",
    "held": "keyed digest",
    "held_versions": "name, number",
    "spent": "what each of its datasets has spent",
}
SOCKET = {message.model_fields["type"].default for message in (Hello, Beat)}


def test_every_route_and_socket_message_of_the_worker_api_belongs_to_a_flow() -> None:
    named = [name for flow in general_flows() for name in flow.requests]
    assert set(named) == {route.name for route in urlpatterns} | SOCKET


def test_every_kind_of_record_belongs_to_one_flow() -> None:
    named = [name for flow in general_flows() for name in flow.records]
    assert sorted(named) == sorted(PAYLOADS)


def test_everything_that_a_hello_tells_belongs_to_a_flow() -> None:
    assert HELLO.keys() | {"type", "protocol"} == Hello.model_fields.keys()
    told = [flow.what for flow in general_flows() if "hello" in flow.requests]
    assert [field for field, words in HELLO.items() if not any(words in what for what in told)] == []


def test_every_flow_has_a_way() -> None:
    for flow in general_flows():
        from_hub = flow.sender is Part.HUB
        assert flow.carried or flow.records or flow.requests or from_hub, flow
