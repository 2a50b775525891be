"""How well a model describes held-out restaurants: loss and the five scores that SplitLoRA reports on E2E.

Plain transformers and PEFT answer the prompts. BLEU is sacrebleu's and ROUGE-L rouge-score's. NIST (Doddington, 2002)
and METEOR (Lavie and Agarwal, 2007) are nltk's, CIDEr-D is `cider`'s: these three over the words of sacrebleu's
tokeniser 13a in lower case. METEOR matches words that are the same or have the same Porter stem; synonyms would need
a download of WordNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from nltk.translate.meteor_score import meteor_score
from nltk.translate.nist_score import corpus_nist
from peft import PeftModel
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import corpus_bleu
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from splitcore.config import RunConfig
from splitcore.data.tokenise import encode_prompt, encode_rows
from splitcore.evaluate.exact_match import mean_loss
from splitcore.evaluate.generate import generate_batch
from splitcore.models.loading import load_whole, read_tokenizer
from tests.benchmarks.cider import cider
from tests.benchmarks.e2e import Asked

BATCH = 20
NEW_TOKENS = 96
NIST_ORDER = 5
_words_of = Tokenizer13a()


class NoSynonyms:
    """Stands where nltk's METEOR asks WordNet."""

    def synsets(self, word: str) -> list[str]:
        """Synonyms of a word: none."""
        return []


def score(config: RunConfig, adapter: Path | None, asked: Sequence[Asked]) -> dict[str, float]:
    """Mean loss per token over all references, and the five scores of greedy answers (with a KV cache)."""
    folder = Path(config.model.name_or_path)
    tokenizer = read_tokenizer(folder)
    model = load_whole(folder, config.model)
    tuned: Any = PeftModel.from_pretrained(model, str(adapter)).eval() if adapter else model
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
    return {"loss": loss, **scores(texts, asked)}


def scores(texts: Sequence[str], asked: Sequence[Asked]) -> dict[str, float]:
    """What is reported of one answer a prompt."""
    answers = [words(text) for text in texts]
    references = [[words(reference) for reference in one.references] for one in asked]
    return {
        "bleu": bleu(texts, asked),
        "nist": nist(answers, references),
        "meteor": meteor(answers, references),
        "rouge_l": rouge_l(texts, asked),
        "cider": cider(answers, references),
    }


def words(text: str) -> list[str]:
    """Lower-case words; punctuation marks are words."""
    return _words_of(text).lower().split()


def nist(answers: Sequence[list[str]], references: Sequence[Sequence[list[str]]]) -> float:
    """NIST of the whole corpus with n-grams of up to five words, which has no upper bound."""
    order = min(NIST_ORDER, max(map(len, answers)))  # of longer ones there is none to count
    return float(corpus_nist(references, answers, n=order)) if order else 0.0


def meteor(answers: Sequence[list[str]], references: Sequence[Sequence[list[str]]]) -> float:
    """Mean over the prompts of METEOR with the reference that fits best (0 to 100)."""
    found = [meteor_score(*pair, wordnet=NoSynonyms()) for pair in zip(references, answers, strict=True)]
    return 100 * sum(found) / len(found)


def bleu(texts: Sequence[str], asked: Sequence[Asked]) -> float:
    """Corpus BLEU (0 to 100), in which case counts; prompts have different numbers of references."""
    most = max(len(one.references) for one in asked)
    streams: Any = [[one.references[n] if n < len(one.references) else None for one in asked] for n in range(most)]
    return float(corpus_bleu(list(texts), streams).score)


def rouge_l(texts: Sequence[str], asked: Sequence[Asked]) -> float:
    """Mean over the prompts of the F-measure with the reference that fits best (0 to 100)."""
    scorer = RougeScorer(["rougeL"])
    best = [scorer.score_multi(list(one.references), text)["rougeL"] for one, text in zip(asked, texts, strict=True)]
    return 100 * sum(found.fmeasure for found in best) / len(best)
