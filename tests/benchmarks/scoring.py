"""How well a model describes held-out restaurants: loss, BLEU and ROUGE-L, with plain transformers and PEFT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import PeftModel
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import corpus_bleu

from splitcore.config import RunConfig
from splitcore.data.tokenise import encode_prompt, encode_rows
from splitcore.evaluate.exact_match import mean_loss
from splitcore.evaluate.generate import generate_batch
from splitcore.models.loading import load_whole, read_tokenizer
from tests.benchmarks.e2e import Asked

BATCH = 20
NEW_TOKENS = 96


def score(config: RunConfig, adapter: Path | None, asked: Sequence[Asked]) -> dict[str, float]:
    """Mean loss per token over all references; BLEU against all of a prompt's references; ROUGE-L of the best one.

    BLEU is sacrebleu's of the whole corpus (0 to 100), ROUGE-L the mean F-measure (0 to 100). Greedy, with a KV cache.
    """
    folder = Path(config.model.name_or_path)
    tokenizer = read_tokenizer(folder)
    model = load_whole(folder, config.model)
    tuned = PeftModel.from_pretrained(model, str(adapter)).eval() if adapter else model
    encoded = encode_rows(
        [row for one in asked for row in one.rows], tokenizer, config.data, config.training.max_length
    )
    loss, _ = mean_loss(tuned, tokenizer, encoded, BATCH)
    prompts = [encode_prompt(one.prompt, tokenizer, config.data) for one in asked]
    texts: list[str] = []
    with torch.inference_mode():
        for start in range(0, len(prompts), BATCH):
            texts += generate_batch(tuned, tokenizer, prompts[start : start + BATCH], NEW_TOKENS)
    texts = [text.strip() for text in texts]
    return {"loss": loss, "bleu": bleu(texts, asked), "rouge_l": rouge_l(texts, asked)}


def bleu(texts: Sequence[str], asked: Sequence[Asked]) -> float:
    """Corpus BLEU; prompts have different numbers of references."""
    most = max(len(one.references) for one in asked)
    streams = [[one.references[n] if n < len(one.references) else None for one in asked] for n in range(most)]
    return float(corpus_bleu(list(texts), streams).score)


def rouge_l(texts: Sequence[str], asked: Sequence[Asked]) -> float:
    """Mean over the prompts of the F-measure with the reference that fits best."""
    scorer = RougeScorer(["rougeL"])
    best = [scorer.score_multi(list(one.references), text)["rougeL"] for one, text in zip(asked, texts, strict=True)]
    return 100 * sum(found.fmeasure for found in best) / len(best)
