"""What the attack takes the output head for, compared with autograd through the model itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, OPTConfig

from splitcore.attacks.label_gradient.output_head import OutputHead
from splitcore.attacks.label_gradient.solving import behind
from splitcore.config import ModelSection
from splitcore.errors import AppError
from splitcore.models.carve import Segment
from splitcore.models.loading import load_segment
from splitcore.models.plan import SegmentPlan
from splitcore.models.tests.tiny import LAYERS, save_tokenizer

Model = Callable[[str], Path]
WIDTH, TOKENS = 16, 6
FAMILIES = ["llama", "gemma3", "gpt2", "opt"]  # RMSNorm, RMSNorm of 1 + γ, LayerNorm twice


def tail(folder: Path, layers: int = 0) -> Segment:
    return load_segment(folder, SegmentPlan("tail", LAYERS - layers, LAYERS, LAYERS, False, True), section(folder))


def section(folder: Path) -> ModelSection:
    return ModelSection(name_or_path=str(folder))


def vectors(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed)) * 2.0


def gradients(head: Segment, entering_TD: torch.Tensor) -> torch.Tensor:
    """(T, V, D): of −ln p_y, for every y."""
    received_T1D = entering_TD.unsqueeze(1).requires_grad_()
    logits_TV = head(torch.ones(len(entering_TD), 1, dtype=torch.int64), hidden_BLD=received_T1D)[:, 0]
    losses_TV = -logits_TV.double().log_softmax(-1)
    each = [torch.autograd.grad(losses_TV[:, y].sum(), received_T1D, retain_graph=True)[0][:, 0]
            for y in range(losses_TV.shape[1])]  # fmt: skip
    return torch.stack(each, dim=1).double()


def largest_difference(head: Segment, entering_TD: torch.Tensor) -> float:
    """Of angles, and of what tells lengths, between the attack's closed form and autograd."""
    truth_TVD, wanted_TD = gradients(head, entering_TD), vectors(len(entering_TD), seed=1)
    expected_TV = torch.cosine_similarity(truth_TVD, wanted_TD.double().unsqueeze(1), dim=-1)
    found_TV, times_TV = OutputHead(head).compared(entering_TD, wanted_TD)
    lengths_TV = truth_TVD.norm(dim=-1) / wanted_TD.norm(dim=-1, keepdim=True)
    angles, lengths = found_TV - expected_TV, times_TV * lengths_TV - expected_TV
    return float(torch.maximum(angles.abs(), lengths.abs()).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_angle_to_each_tokens_gradient_is_autograds(model: Model, family: str) -> None:
    assert largest_difference(tail(model(family)), vectors(TOKENS)) < 1e-3


def test_logits_that_are_capped_have_their_own_slopes(model: Model, tmp_path: Path) -> None:
    folder = shutil.copytree(model("gemma3"), tmp_path / "capped")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"final_logit_softcapping": 0.3}))
    capped, plain = tail(folder), tail(model("gemma3"))
    assert largest_difference(capped, vectors(TOKENS)) < 1e-3
    wanted_TD = vectors(TOKENS, seed=1)
    (capped_TV, _), (plain_TV, _) = (OutputHead(one).compared(vectors(TOKENS), wanted_TD) for one in (capped, plain))
    assert (capped_TV - plain_TV).abs().max() > 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_behind_decoder_layers_is_solved_from_the_one_before_them(model: Model, family: str) -> None:
    folder, start = model(family), LAYERS - 2
    layers = load_segment(folder, SegmentPlan("body", start, LAYERS, LAYERS, False, False), section(folder))
    mask_BL = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    hidden_BLD = vectors(14).reshape(2, 7, WIDTH).requires_grad_()
    leaving_BLD = layers(mask_BL, hidden_BLD=hidden_BLD)
    truth_BLD = vectors(14, seed=1).reshape(2, 7, WIDTH) * mask_BL.unsqueeze(-1)
    (before_BLD,) = torch.autograd.grad(leaving_BLD, hidden_BLD, truth_BLD)
    left_BLD, found_BLD = behind(layers, mask_BL, hidden_BLD, before_BLD, 400)
    assert torch.allclose(left_BLD, leaving_BLD, atol=1e-4)
    assert (found_BLD - truth_BLD).norm() / truth_BLD.norm() < 0.01


def test_a_head_of_another_form_is_refused(tmp_path: Path) -> None:
    AutoModelForCausalLM.from_config(
        OPTConfig(vocab_size=264, hidden_size=WIDTH, word_embed_proj_dim=8, ffn_dim=24, num_hidden_layers=LAYERS,
                  num_attention_heads=2, max_position_embeddings=64, pad_token_id=0)
    ).save_pretrained(tmp_path)  # fmt: skip
    save_tokenizer(tmp_path)
    with pytest.raises(AppError, match="CL-1108"):
        OutputHead(tail(tmp_path))
