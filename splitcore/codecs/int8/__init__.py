"""Eight bits per value with a scale per token: half the bytes of bf16."""

from splitcore.codecs.int8.config import CHOICES, FORMATS

__all__ = ["CHOICES", "FORMATS"]
