"""Quantised bases: what they cost, how near they are, and that a split changes nothing about them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from splitcore.adapters.lora import adapter_layout, adapter_parameters, initialise, place
from splitcore.config import LoraSection, ModelSection
from splitcore.models.loading import load_segment, load_whole, read_config
from splitcore.models.number_formats import FORMATS
from splitcore.models.plan import segment_plans
from splitcore.models.quantised import HeldMatrix, QuantisedConv1D, QuantisedLinear
from splitcore.models.tests.tiny import LAYERS, save_model

SCHEMES = sorted(FORMATS)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: save_model(tmp_path_factory.mktemp(family), family) for family in ("llama", "gpt2")}


def weights(outputs: int, inputs: int) -> torch.Tensor:
    return torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(0)) * 0.02


@pytest.mark.parametrize(("scheme", "low", "high"), [("int8", 0.50, 0.502), ("int4", 0.25, 0.28)])
def test_memory_against_bfloat16(scheme: str, low: float, high: float) -> None:
    plain = weights(768, 2048).bfloat16()
    held = HeldMatrix(plain, FORMATS[scheme])
    assert low <= held.nbytes() / (plain.numel() * plain.element_size()) <= high
    assert held.matrix().dtype == torch.bfloat16


def test_int8_is_off_by_at_most_half_a_step_of_its_channel() -> None:
    plain = weights(16, 40)
    plain[3] = 0
    off_OI = (HeldMatrix(plain, FORMATS["int8"]).matrix() - plain).abs()
    assert torch.all(off_OI <= plain.abs().amax(dim=1, keepdim=True) / 254 * (1 + 1e-5))


@pytest.mark.parametrize("shape", [(16, 64), (5, 13), (1, 1), (300, 70)])
def test_nf4_is_near_for_any_shape_and_exact_for_zeros(shape: tuple[int, int]) -> None:
    plain = weights(*shape)
    matrix = HeldMatrix(plain, FORMATS["int4"]).matrix()
    assert matrix.shape == plain.shape
    assert (matrix - plain).norm() <= 0.12 * plain.norm()  # 16 quantiles of a normal: about 0.09
    assert not HeldMatrix(torch.zeros(shape), FORMATS["int4"]).matrix().any()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_a_quantised_model_computes_the_same_split_and_whole(
    folders: dict[str, Path], family: str, scheme: str, topology: str
) -> None:
    section = ModelSection(name_or_path="tiny/model", quantisation=scheme)  # type: ignore[arg-type]
    ids_BL = torch.randint(3, 250, (2, 9), generator=torch.Generator().manual_seed(0))
    mask_BL = torch.ones_like(ids_BL)
    with torch.no_grad():
        whole_BLV = load_whole(folders[family], section)(input_ids=ids_BL, attention_mask=mask_BL).logits
        plain = section.model_copy(update={"quantisation": "none"})
        plain_BLV = load_whole(folders[family], plain)(input_ids=ids_BL, attention_mask=mask_BL).logits
        plans = list(segment_plans(topology, 1, 2, LAYERS).values())
        hidden_BLD = load_segment(folders[family], plans[0], section)(mask_BL, ids_BL=ids_BL)
        for plan in plans[1:]:
            hidden_BLD = load_segment(folders[family], plan, section)(mask_BL, hidden_BLD=hidden_BLD)
    assert torch.equal(hidden_BLD, whole_BLV)
    assert not torch.equal(whole_BLV, plain_BLV)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_adapter_gradients_are_those_of_the_model_with_dequantised_weights(
    folders: dict[str, Path], family: str, scheme: str
) -> None:
    lora = LoraSection(rank=2)
    plain = ModelSection(name_or_path="tiny/model")
    quantised = load_whole(folders[family], plain.model_copy(update={"quantisation": scheme}))
    reference = load_whole(folders[family], plain)
    replaced = 0
    for name, module in quantised.named_modules():
        if isinstance(module, (QuantisedLinear, QuantisedConv1D)):
            stock = reference.get_submodule(name)
            assert isinstance(stock, (nn.Linear, Conv1D))
            stock.weight.data.copy_(module.weight)
            replaced += 1
    assert replaced >= LAYERS
    gradients = []
    for model in (quantised, reference):
        place(model, adapter_layout(read_config(folders[family]), lora), lora)
        initialise(model, 0)
        for _, parameter in adapter_parameters(model):
            parameter.data += 0.01  # B is zero at the start, and A's gradient with it
        ids_BL = torch.randint(3, 250, (2, 9), generator=torch.Generator().manual_seed(0))
        model(input_ids=ids_BL, labels=ids_BL).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in adapter_parameters(model)})
        assert not any(p.requires_grad for n, p in model.named_parameters() if ".lora_" not in n)
    for name, gradient in gradients[0].items():
        assert gradient is not None
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-5, atol=1e-6)


def test_no_dequantised_weight_is_kept_between_forward_and_backward() -> None:
    layer = QuantisedLinear(nn.Linear(64, 32), FORMATS["int4"])
    kept: list[torch.Size] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t.shape), t)[1], lambda t: t):
        layer(torch.randn(3, 64, requires_grad=True)).sum().backward()
    assert kept == []
