"""The two ends of the declaration: whatever the wire lets in belongs to a flow, and each flow has its rule.

For every combination that RunConfig permits (`combinations`), with the very limits that a half's connection gets.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from transformers import LlamaConfig

from splitcore.adapters.lora import AdapterLayout
from splitcore.config import RunConfig
from splitcore.flows import Cast, Flow, Part, Thing, flows_of
from splitcore.flows.cast import anyone
from splitcore.flows.tests.combinations import runs
from splitcore.optimise.optimiser import SEPARATOR
from splitcore.run.plan import RunPlan
from splitcore.run.settings import HalfSettings
from splitcore.training.halves import wire_limits
from splitcore.wire.protocol.declared import Content, Side
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import Kind, Phase

SHAPES = {"layers.0.q.lora_A": (4, 16), "layers.0.q.lora_B": (16, 4), "layers.1.q.lora_A": (4, 16)}
BODY = {"layers.1.q.lora_A"}
ENDS = set(SHAPES) - BODY
MODEL = LlamaConfig(hidden_size=16, vocab_size=100, num_attention_heads=2, num_hidden_layers=3)
SENT_BY_SERVER = {Part.CLIENT, Part.CLIENTS, Part.NEXT}

Entry = tuple[Side, Kind, Phase, str, str]
"""Receiver, kind and phase of a message, then the name of a tensor with its codec, or a field of its body with none."""


def limits_of(config: RunConfig, cast: Cast, side: Side) -> FrameLimits:
    settings = HalfSettings(config=config, parties=list(cast.clients), model_source="m", out=Path("out"))
    plan = RunPlan(settings, Path("m"), MODEL, {}, "cpu")
    layout = AdapterLayout((), SHAPES, fan_in_fan_out=False, layers="layers")
    return wire_limits(plan, next(iter(cast.clients)), side, layout, BODY, 1)


def accepted(config: RunConfig, cast: Cast) -> set[Entry]:
    """Everything that the two ends of a conversation take."""
    found: set[Entry] = set()
    sides: tuple[Side, Side] = ("client", "server")
    for side in sides:
        for (kind, phase), rule in limits_of(config, cast, side).rules.items():
            found.add((side, kind, phase, "", ""))
            found |= {(side, kind, phase, name, codec) for name, one in rule.tensors.items() for codec in one.codecs}
            found |= {(side, kind, phase, name, "") for name in rule.fields}
    return found


def declared(flow: Flow, config: RunConfig) -> Iterator[Entry]:
    """Everything that a flow sends between the halves."""
    side: Side = "client" if flow.receiver in SENT_BY_SERVER else "server"
    moments = ("exp_avg", "exp_avg_sq") if config.training.optimiser == "adamw" else ()
    for message in flow.carried:
        yield side, message.kind, message.phase, "", ""
        for name in message.fields:
            yield side, message.kind, message.phase, name, ""
        for tensor in message.tensors:
            names = {tensor.name}
            if tensor.content in (Content.ENDS, Content.MASKED_ENDS):
                names = ENDS
            elif tensor.content is Content.MOMENTS:
                names = {f"{name}{SEPARATOR}{moment}" for name in ENDS for moment in moments}
            for name in names:
                yield side, message.kind, message.phase, name, tensor.codec


def test_everything_that_the_wire_accepts_belongs_to_a_flow_and_each_flow_has_its_rule() -> None:
    for run in runs():
        of_flows = {entry for flow in run.flows for entry in declared(flow, run.config)}
        assert accepted(run.config, run.cast) == of_flows, (run.config.to_yaml(), len(run.cast.clients))


def test_each_kind_of_message_belongs_to_a_flow_of_some_run() -> None:
    assert {message.kind for flow in every_flow() for message in flow.carried} == set(Kind)


def test_a_flow_between_the_halves_has_a_data_party_at_one_end_and_the_compute_party_at_the_other() -> None:
    for flow in every_flow():
        if flow.carried:
            ends = {flow.sender, flow.receiver}
            assert Part.SERVER in ends, flow
            assert len(ends & SENT_BY_SERVER) == 1, flow


def test_what_is_said_of_a_flow_in_general_is_the_same_in_every_run() -> None:
    said: dict[tuple[str, Part, Part], tuple[object, ...]] = {}
    for flow in every_flow():
        words = flow.thing, flow.when, flow.only, [(one.thing, one.how) for one in flow.reveals]
        assert said.setdefault(flow.key, words) == words


def test_a_flow_names_the_runs_that_have_it_where_some_lack_it() -> None:
    keys = [frozenset((flow.what, flow.sender) for flow in run.flows) for run in runs()]
    lacking = {key for key in frozenset.union(*keys) if any(key not in run for run in set(keys))}
    for flow in every_flow():
        assert bool(flow.only) == ((flow.what, flow.sender) in lacking), flow


def test_labels_leave_in_vanilla_alone() -> None:
    topologies = {(run.config.split.topology, Thing.LABELS in {flow.thing for flow in run.flows}) for run in runs()}
    assert topologies == {("u_shape", False), ("vanilla", True)}


def every_flow() -> set[Flow]:
    return {flow for run in runs() for flow in run.flows}


def test_encrypted_adapters_reach_the_same_data_parties_at_the_same_times_as_readable_ones() -> None:
    def told(sums: str) -> list[tuple[Part, str]]:
        data = {"model": {"name_or_path": "m"}, "schedule": {"name": "sequential"}, "privacy": {"sums": sums}}
        flows = flows_of(RunConfig.parse(data), anyone(3))
        ends = [flow for flow in flows if flow.thing is Thing.ENDS and flow.sender is Part.SERVER]
        return [(flow.receiver, flow.when) for flow in ends]

    assert told("masked") == told("plain") != []
