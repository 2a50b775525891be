"""Everything that a worker may tell the hub belongs to a declared flow, and each flow to the hub has its way there."""

from __future__ import annotations

from splitcore.flows import Part
from splitcore.flows.table import general_flows
from webapp.fleet.worker_urls import urlpatterns
from workers.contracts import PAYLOADS, Beat, Hello

SOCKET = {message.model_fields["type"].default for message in (Hello, Beat)}


def test_every_route_and_socket_message_of_the_worker_api_belongs_to_a_flow() -> None:
    named = [name for flow in general_flows() for name in flow.requests]
    assert set(named) == {route.name for route in urlpatterns} | SOCKET


def test_every_kind_of_record_belongs_to_one_flow() -> None:
    named = [name for flow in general_flows() for name in flow.records]
    assert sorted(named) == sorted(PAYLOADS)


def test_every_flow_has_a_way() -> None:
    for flow in general_flows():
        from_hub = flow.sender is Part.HUB
        assert flow.carried or flow.records or flow.requests or from_hub, flow
