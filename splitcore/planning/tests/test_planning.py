"""Planning against the truth: real models' parameters, real adapters, real frames, what autograd really keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from splitcore.adapters.lora import adapter_layout
from splitcore.codecs.registry import payload_bytes
from splitcore.codecs.tensors import encode
from splitcore.config import LoraSection, RunConfig
from splitcore.errors import AppError
from splitcore.flows import anyone, carried_to, flows_of
from splitcore.planning import Link, ModelShape, Speeds, estimate, missing_targets, prior_speeds
from splitcore.planning.measure import measure
from splitcore.planning.memory import SAVED_FACTOR, saved_values
from splitcore.planning.pipeline import Hop, pipeline_time
from splitcore.planning.segments import segments_of
from splitcore.planning.traffic import Traffic, step_traffic
from splitcore.wire.protocol.frames import PREFIX
from splitcore.wire.protocol.limits import Sizes, session_limits
from splitcore.wire.protocol.messages import Kind, Message, Phase, SessionIds
from splitcore.wire.transport.memory import memory_pair

MODELS: dict[str, dict[str, Any]] = {
    "llama": {
        "hidden_size": 512,
        "intermediate_size": 1376,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "vocab_size": 4000,
    },
    "qwen3": {
        "hidden_size": 512,
        "intermediate_size": 1536,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "vocab_size": 4000,
        "tie_word_embeddings": True,
    },
    "mistral": {
        "hidden_size": 512,
        "intermediate_size": 1376,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "vocab_size": 4000,
    },
    "gemma3_text": {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "vocab_size": 4000,
    },
    "phi3": {
        "hidden_size": 512,
        "intermediate_size": 1376,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "vocab_size": 4000,
        "pad_token_id": 0,
    },
    "gpt2": {"n_embd": 512, "n_layer": 6, "n_head": 8, "vocab_size": 4000, "n_positions": 256},
    "opt": {
        "hidden_size": 512,
        "word_embed_proj_dim": 512,
        "ffn_dim": 2048,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "vocab_size": 4000,
        "max_position_embeddings": 256,
    },
    "mixtral": {
        "hidden_size": 512,
        "intermediate_size": 512,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "vocab_size": 4000,
    },
    "qwen3_moe": {
        "hidden_size": 512,
        "intermediate_size": 1376,
        "moe_intermediate_size": 256,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "vocab_size": 4000,
    },
}


EXPERTS = ("mixtral", "qwen3_moe")


def config_of(**sections: dict[str, Any]) -> RunConfig:
    return RunConfig.parse({"model": {"name_or_path": "some/model"}, **sections})


def shape_of(family: str) -> ModelShape:
    config = AutoConfig.for_model(family, **MODELS[family])
    return measure(config)


@pytest.mark.parametrize("family", [family for family in MODELS if family not in EXPERTS])
def test_parameters_and_adapter_are_those_of_the_real_model(family: str) -> None:
    config = AutoConfig.for_model(family, **MODELS[family])
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        true = sum(parameter.numel() for parameter in model.parameters())
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear"))
    adapter = sum(parameter.numel() for name, parameter in adapted.named_parameters() if "lora_" in name)
    shape = shape_of(family)
    assert abs(shape.parameters - true) / true < 0.01
    plan = estimate(config_of(lora={"rank": 4}), shape)
    assert plan.adapter_parameters == adapter
    assert plan.adapter_bytes.expected == adapter * 4


@pytest.mark.parametrize("family", EXPERTS)
def test_experts_held_as_one_tensor_get_no_adapter_and_compute_only_where_active(family: str) -> None:
    config = AutoConfig.for_model(family, **MODELS[family])
    shape = shape_of(family)
    layout = adapter_layout(config, LoraSection(rank=4))
    plan = estimate(config_of(lora={"rank": 4}), shape)
    assert plan.adapter_parameters == sum(torch.Size(size).numel() for size in layout.shapes.values())
    [layer] = shape.kinds
    assert layer.active_experts * config.num_local_experts == layer.experts * config.num_experts_per_tok


@pytest.mark.parametrize("family", MODELS)
def test_no_module_that_a_model_has_is_called_missing(family: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **MODELS[family]))
    linear = {name for name, one in model.named_modules() if isinstance(one, (torch.nn.Linear, Conv1D))}
    assert linear
    shape = shape_of(family)
    for targets in (sorted(linear), sorted(name.rpartition(".")[2] for name in linear), "all-linear"):
        assert missing_targets(shape, targets) == ""


def test_a_module_that_the_model_does_not_have_is_named_beside_those_that_it_has() -> None:
    targets = ["q_proj", "foo", "model.layers.0.mlp.bar", "model.layers.6.mlp.up_proj"]
    wrong = missing_targets(shape_of("llama"), targets)
    assert wrong.startswith("The base model has no foo and no model.layers.0.mlp.bar and no model.layers.6.mlp.up_proj")
    assert wrong.endswith("Its layers have q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj.")
    assert missing_targets(None, ["foo"]) == ""


def test_named_targets_are_counted_alone() -> None:
    plan = estimate(config_of(lora={"rank": 4, "target_modules": ["q_proj", "v_proj"]}), shape_of("llama"))
    assert plan.adapter_parameters == 6 * 4 * ((512 + 512) + (512 + 128))


def pass_on(source: Any, target: Any, kind: Kind, tensors: Any = None, **fields: Any) -> None:
    """Carry one message of a step from end to end."""
    source.send(Message(kind, step=10, tensors=tensors or {}, **fields))
    target.receive(timeout=1)


def exchange_activations(client: Any, server: Any, config: RunConfig, *, length: int) -> None:
    """Every micro-batch of a step: activations up and down, gradients back; labels go along in vanilla alone."""
    wire, training = config.wire, config.training
    rows, vanilla = training.batch_size // training.micro_batches, config.split.topology == "vanilla"
    hidden, mask = torch.randn(rows, length, 512), torch.ones(rows, length, dtype=torch.uint8)
    activations = {"hidden": encode(hidden, wire.activations.name)}
    gradients = {"hidden": encode(hidden, wire.gradients.name)}
    labels = {"labels": encode(torch.zeros(rows, length, dtype=torch.int64), "i64")} if vanilla else {}
    for micro in range(training.micro_batches):
        up = {**activations, "mask": encode(mask, "u8"), **labels}
        pass_on(client, server, Kind.ACTIVATIONS, up, micro=micro, phase=Phase.HEAD_UP)
        if not vanilla:
            pass_on(server, client, Kind.ACTIVATIONS, activations, micro=micro, phase=Phase.BODY_DOWN)
            pass_on(client, server, Kind.GRADIENTS, gradients, micro=micro, phase=Phase.TAIL_UP)
        pass_on(server, client, Kind.GRADIENTS, gradients, micro=micro, phase=Phase.BODY_GRAD_DOWN)


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
@pytest.mark.parametrize(("activations", "gradients"), [("fp32", "fp32"), ("bf16", "bf16"), ("int8", "bf16")])
@pytest.mark.parametrize(("clients", "sums"), [(1, "plain"), (2, "plain"), (2, "masked")])
def test_traffic_is_what_the_channels_count(
    topology: str, activations: str, gradients: str, clients: int, sums: str
) -> None:
    shape, length, rows = shape_of("llama"), 40, 8
    config = config_of(
        privacy={"sums": sums},
        split={"topology": topology, "head_layers": 1, "tail_layers": 1},
        training={"batch_size": rows, "micro_batches": 2, "max_length": length},
        wire={"activations": activations, "gradients": gradients},
    )
    cut = segments_of(config, shape)
    adapters = {
        f"base_model.model.model.layers.{layer}.{linear.path}.lora_{part}.weight": size
        for layer in range(cut.client_layers)
        for linear in shape.kinds[0].linears
        for part, size in (("A", (8, linear.inputs)), ("B", (linear.outputs, 8)))
    }
    ids = SessionIds("run", "Clinic A", 1)
    carried = carried_to(flows_of(config, anyone(clients)))
    sizes = Sizes(rows, length, width=512, vocabulary=4000, adapters=adapters)
    client, server = memory_pair(*(session_limits(ids, side, carried, sizes) for side in ("client", "server")))

    pass_on(client, server, Kind.STEP_BEGIN, body={"tokens": 300})
    pass_on(server, client, Kind.STEP_TOTAL, body={"tokens": 600})
    exchange_activations(client, server, config, length=length)
    if clients > 1:
        tensors = {name: encode(torch.zeros(size), "fp32") for name, size in adapters.items()}
        masked = {name: encode(torch.zeros(size), "i64") for name, size in adapters.items()}
        pass_on(client, server, Kind.ADAPTER_GRADIENTS, masked if sums == "masked" else tensors)
        pass_on(server, client, Kind.AGGREGATE, tensors, body={"norm": 0.5})
    else:
        pass_on(client, server, Kind.NORMS, {"norms": encode(torch.zeros(len(adapters)), "fp32")})
        pass_on(server, client, Kind.AGGREGATE, body={"norm": 0.5})

    traffic = estimate(config, shape, clients).clients["client 1"].traffic
    assert abs(traffic.uplink.expected / client.sent.bytes - 1) < 0.01
    assert abs(traffic.downlink.expected / client.received.bytes - 1) < 0.01
    assert traffic.uplink.low <= client.sent.bytes <= traffic.uplink.high * 1.01


def test_the_prefixes_of_a_large_tensors_parts_are_counted() -> None:
    shape = shape_of("llama")  # 512 wide
    for length, parts in ((512, 0), (513, 2)):  # fp32: 512 tokens are 1 MiB, which goes with its message
        training = {"batch_size": 1, "micro_batches": 1, "max_length": length}
        config = config_of(training=training, wire={"activations": "fp32", "gradients": "fp32"})
        traffic = estimate(config, shape, 1, lengths=(length, length)).clients["client 1"].traffic
        assert traffic.parts["activations"] == 2 * (length * 512 * 4 + parts * PREFIX.size)


def test_averaging_every_tenth_step_costs_a_tenth_and_never_costs_nothing() -> None:
    shape = shape_of("llama")
    every = {
        k: estimate(config_of(schedule={"aggregate_every": k}), shape, 2).clients["client 1"].traffic.parts["adapters"]
        for k in (0, 1, 10)
    }
    norms = every[0]
    assert every[1] == pytest.approx(10 * (every[10] - norms))
    assert norms < every[10] < every[1]


def test_masked_sums_cost_their_bytes_and_the_time_to_mask() -> None:
    shape = shape_of("llama")
    speeds = Speeds(1e10, 1e13, Link(1e9, 1e9))
    for clients in (1, 2, 8):
        plain, masked = (
            estimate(config_of(privacy={"sums": sums}), shape, clients, speeds=speeds) for sums in ("plain", "masked")
        )
        parts = [plan.clients["client 1"].traffic.parts["adapters"] for plan in (plain, masked)]
        seconds = [plan.time.stages["client"] for plan in (plain, masked)]
        assert parts[1] == pytest.approx(parts[0] * (1.5 if clients > 1 else 1))
        assert (seconds[1] > seconds[0]) is (clients > 1)


def test_each_schedule_costs_what_it_sends_and_holds() -> None:
    shape = shape_of("llama")
    plans = {
        mode: estimate(config_of(schedule={"mode": mode}), shape, 4)
        for mode in ("parallel", "sequential", "splitfed_v1", "personalised")
    }
    parts = {mode: plan.clients["client 1"].traffic.parts for mode, plan in plans.items()}
    held = {mode: plan.server_memory.parts["adapter and optimiser"] for mode, plan in plans.items()}
    assert parts["sequential"]["activations"] == pytest.approx(parts["parallel"]["activations"] / 4)
    assert parts["personalised"]["adapters"] < parts["sequential"]["adapters"] < parts["parallel"]["adapters"]
    assert parts["splitfed_v1"]["adapters"] > parts["parallel"]["adapters"]  # the norms come on top
    assert held["splitfed_v1"] == 4 * held["parallel"] == 4 * held["sequential"]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text", "opt"])
def test_what_autograd_keeps_lies_within_the_range(family: str) -> None:
    sizes = MODELS[family] | {"vocab_size": 64}
    key = "n_layer" if family == "gpt2" else "num_hidden_layers"
    rows, length, rank = 2, 64, 8

    def kept(layers: int) -> int:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **(sizes | {key: layers})))
        adapted = get_peft_model(model, LoraConfig(r=rank, target_modules="all-linear")).train()
        weights = {parameter.untyped_storage().data_ptr() for parameter in adapted.parameters()}
        storages: dict[int, int] = {}

        def remember(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        alive = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: (alive.append(tensor), remember(tensor))[1], lambda tensor: tensor
        ):
            alive.append(adapted(inputs_embeds=torch.randn(rows, length, 512, requires_grad=True)).logits)
        return sum(storages.values())

    shape = shape_of(family)
    measured = (kept(3) - kept(1)) / 2 / 4 / rows / length
    predicted = saved_values(shape, shape.kinds[0], cut_rank=rank)
    assert predicted * SAVED_FACTOR[0] <= measured <= predicted * SAVED_FACTOR[2], measured / predicted


def test_memory_of_the_server_holds_the_base_once_and_grows_by_rows_only() -> None:
    shape, config = shape_of("llama"), config_of()
    one, four = (estimate(config, shape, clients).server_memory for clients in (1, 4))
    assert one.parts["base weights"] == four.parts["base weights"] == 2 * shape.kinds[0].parameters * 4
    assert four.parts["activations"] == 4 * one.parts["activations"]
    assert one.parts["logits"] == 0
    assert estimate(config_of(split={"topology": "vanilla"}), shape).server_memory.parts["logits"] > 0


def test_every_range_is_ordered_and_gives_its_reason() -> None:
    config = config_of(training={"batch_size": 8, "micro_batches": 4})
    speeds = Speeds(client=1e10, server=1e12, link=Link(uplink=1e6, downlink=1e7, latency=0.01))
    plan = estimate(config, shape_of("qwen3"), ["Clinic A", "Bank B"], lengths=(60, 200), speeds=speeds)
    assert plan.time.total is not None
    assert plan.run_time is not None
    assert plan.run_traffic is not None
    ranges = [plan.server_memory.total, *plan.server_traffic, plan.run_traffic, plan.time.total, plan.run_time]
    for party in plan.clients.values():
        ranges += [party.memory.total, party.traffic.uplink, party.traffic.downlink]
    for one in ranges:
        assert 0 < one.low <= one.expected <= one.high
        assert one.reason
    assert list(plan.clients) == ["Clinic A", "Bank B"]
    json.dumps(plan.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("speeds", "bottleneck"),
    [
        (Speeds(1e9, 1e15, Link(1e12, 1e12)), "client"),
        (Speeds(1e15, 1e9, Link(1e12, 1e12)), "server"),
        (Speeds(1e15, 1e15, Link(1e3, 1e9)), "uplink"),
        (Speeds(1e15, 1e15, Link(1e9, 1e3)), "downlink"),
    ],
)
def test_the_bottleneck_is_named(speeds: Speeds, bottleneck: str) -> None:
    assert estimate(config_of(), shape_of("llama"), speeds=speeds).time.bottleneck == bottleneck


def test_without_measured_speeds_no_time_is_made_up() -> None:
    plan = estimate(config_of(), shape_of("llama"))
    assert plan.time.total is None
    assert plan.run_time is None
    assert "measured" in plan.time.reason


def test_before_a_first_run_the_time_is_a_wide_range_around_what_the_machines_measured() -> None:
    shape, config = shape_of("llama"), config_of()
    bounds = prior_speeds(shape, client=5e10, server=1e13)
    guess = estimate(config, shape, speeds=bounds).time
    exact = estimate(config, shape, speeds=bounds.likely).time
    assert guess.total is not None
    assert exact.total is not None
    assert guess.total.low < exact.total.low
    assert guess.total.expected == exact.total.expected
    assert guess.total.high > exact.total.high
    assert "20 Mbit/s to 1 Gbit/s" in guess.total.reason


def test_a_known_link_replaces_the_assumption_and_a_shared_machine_is_slower() -> None:
    shape, config = shape_of("llama"), config_of()
    link = Link(1e6, 1e6)
    known = prior_speeds(shape, client=5e10, server=5e10, link=link)
    assert {case.link for case in known.cases} == {link}
    assert "assumed" not in known.basis
    alone, shared = (
        prior_speeds(shape, client=5e10, server=5e10, clients=2, same_machine=same).likely.client
        for same in (False, True)
    )
    assert shared == alone / 2
    assert estimate(config, shape, speeds=known).run_time is not None


def test_a_party_s_overrides_apply_to_it_alone() -> None:
    config = config_of(training={"batch_size": 8}, parties={"Bank B": {"batch_size": 16}})
    plan = estimate(config, shape_of("llama"), ["Clinic A", "Bank B"])
    small, large = (plan.clients[name].traffic.parts["activations"] for name in ("Clinic A", "Bank B"))
    assert large == 2 * small


def test_a_cut_outside_the_model_is_an_error_with_the_numbers() -> None:
    with pytest.raises(AppError, match="CL-1002") as caught:
        estimate(config_of(split={"head_layers": 4, "tail_layers": 2}), shape_of("llama"))
    assert caught.value.details["layers"] == 6


def test_planning_loads_no_torch() -> None:
    code = "import sys, splitcore.planning; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_later_epochs_and_a_frozen_head_take_less_traffic() -> None:
    shape = shape_of("llama")
    training = {"steps": None, "epochs": 10, "max_length": 40}

    def traffic(**changes: Any) -> Traffic:
        config = config_of(**{"training": training, "wire": {"activations": "int4"}, **changes})
        return step_traffic(config, shape, segments_of(config, shape), clients=1, lengths=(40, 40, 40))

    plain = traffic()
    changes = traffic(wire={"activations": "int4", "changes": "int2"})
    kept = traffic(lora={"train_head": False}, training={**training, "cache_activations": True})
    assert plain.uplink.low == plain.uplink.expected == plain.uplink.high == changes.uplink.high
    assert changes.uplink.low < changes.uplink.expected < plain.uplink.expected
    hidden = payload_bytes("int4", (8, 40, shape.hidden))
    assert plain.parts["activations"] - changes.parts["activations"] == pytest.approx(
        2 * 0.9 * (hidden - payload_bytes("int2", (8, 40, shape.hidden)))
    )
    assert plain.uplink.high - kept.uplink.low == pytest.approx(hidden)
    assert plain.downlink.high - kept.downlink.high == payload_bytes("bf16", (8, 40, shape.hidden))


def test_recomputing_holds_the_layers_inputs_and_one_layer() -> None:
    shape = shape_of("llama")
    held, recomputed = (
        estimate(config_of(training={"gradient_checkpointing": on, "batch_size": 8}), shape).server_memory.parts
        for on in (False, True)
    )
    layers, tokens = 2, 8 * 512
    inputs = layers * tokens * shape.hidden * 4
    assert recomputed["activations"] == inputs + held["activations"] / layers
    assert recomputed["base weights"] == held["base weights"]


@pytest.mark.parametrize("slowest", [0, 1, 2, 3])
@pytest.mark.parametrize("micro", [1, 2, 5])
def test_a_pipeline_with_one_slowest_place_takes_its_fill_and_then_that_place(slowest: int, micro: int) -> None:
    seconds = [1.0, 1.0, 1.0, 1.0]
    seconds[slowest] = 3.0
    way = [Hop(place, time) for place, time in zip(("client", "uplink", "server", "downlink"), seconds, strict=True)]
    assert pipeline_time(way, micro, 0.0) == sum(seconds) + (micro - 1) * 3.0
    assert pipeline_time(way, micro, 0.5) == sum(seconds) + (micro - 1) * 3.0 + 2 * 0.5


def test_a_place_that_is_passed_twice_answers_before_it_begins_anew() -> None:
    way = [Hop("client", 1.0), Hop("server", 2.0), Hop("client", 1.0)]
    assert pipeline_time(way, 1, 0.0) == 4.0
    assert pipeline_time(way, 3, 0.0) == 1.0 + 3 * 2.0 + 1.0  # the server never waits


def test_the_latency_of_micro_batches_overlaps_and_the_update_is_a_round_trip() -> None:
    fast = Speeds(client=1e18, server=1e18, link=Link(1e15, 1e15, latency=0.02))
    for micro in (1, 8):
        plan = estimate(config_of(training={"batch_size": 8, "micro_batches": micro}), shape_of("llama"), speeds=fast)
        assert plan.time.total is not None
        assert plan.time.total.expected == pytest.approx(6 * 0.02, rel=1e-3)


def test_a_quantised_base_and_the_checkpoints_own_format_are_counted() -> None:
    shape = measure(AutoConfig.for_model("llama", **MODELS["llama"]), dtype="bfloat16")

    def base(**model: str) -> float:
        sections = {"model": {"name_or_path": "some/model", "dtype": "auto", **model}}
        return estimate(RunConfig.parse(sections), shape).server_memory.parts["base weights"]

    [layer] = shape.kinds
    once = max(linear.parameters for linear in layer.linears) * 4  # one matrix at a time is dequantised
    norms = 2 * layer.other * 2  # of two layers, which stay in bfloat16
    assert norms == 2 * 2 * 512 * 2
    assert base() * 2 == base(dtype="float32")
    assert base(quantisation="int8") - once - norms == (base() - norms) / 2
    assert (base(quantisation="int4") - once - norms) / (base() - norms) == pytest.approx(0.258, abs=1e-3)
