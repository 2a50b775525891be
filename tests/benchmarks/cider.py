"""CIDEr-D of generated texts against several references each (Vedantam et al., 2015, arXiv 1411.5726).

g_n(x): the counts of x's n-grams, each times its inverse document frequency ln(M / d). M prompts; d of them have the
n-gram in at least one reference, and an n-gram in none counts as in one.

    CIDEr-D_n(c, S) = 10/m Σ_j exp(-(l(c) - l(s_j))² / 2σ²) Σ min(g_n(c), g_n(s_j)) g_n(s_j) / (‖g_n(c)‖ ‖g_n(s_j)‖)

over the m references s_j of a prompt, with lengths l in words and σ = 6; n goes from 1 to 4 with equal weight. As in
the authors' code, counts are not divided by a text's length, and words are not stemmed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import exp, log, sqrt

LONGEST, SIGMA, SCALE = 4, 6.0, 10.0
Words = Sequence[str]
Gram = tuple[str, ...]
Vector = dict[Gram, float]


def cider(texts: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """The mean over the prompts, 0 to 10; the documents of the inverse document frequency are these prompts."""
    grams = range(1, LONGEST + 1)
    found = {gram for n in grams for text in texts for gram in _grams(text, n)}
    seen = Counter(
        gram
        for of_one in references
        for gram in {gram for n in grams for reference in of_one for gram in _grams(reference, n)}
    )
    rarity = {gram: log(len(references) / max(1, seen[gram])) for gram in seen.keys() | found}
    scores = [_of_one(text, of_one, rarity) for text, of_one in zip(texts, references, strict=True)]
    return sum(scores) / len(scores)


def _of_one(text: Words, references: Sequence[Words], rarity: Vector) -> float:
    parts = [
        exp(-((len(text) - len(reference)) ** 2) / (2 * SIGMA**2))
        * _similarity(_vector(text, n, rarity), _vector(reference, n, rarity))
        for reference in references
        for n in range(1, LONGEST + 1)
    ]
    return SCALE * sum(parts) / len(parts)


def _similarity(text: Vector, reference: Vector) -> float:
    """The cosine with each of the text's entries clipped to the reference's; 0 beside an empty vector."""
    lengths = sqrt(sum(value**2 for value in text.values())) * sqrt(sum(value**2 for value in reference.values()))
    clipped = sum(min(value, reference[gram]) * reference[gram] for gram, value in text.items() if gram in reference)
    return clipped / lengths if lengths else 0.0


def _vector(text: Words, n: int, rarity: Vector) -> Vector:
    return {gram: count * rarity[gram] for gram, count in Counter(_grams(text, n)).items()}


def _grams(text: Words, n: int) -> list[Gram]:
    return [tuple(text[start : start + n]) for start in range(len(text) - n + 1)]
