"""A tensor's values as they are, in one number type: fp32 and bf16, and the integers of labels, masks and counts."""

from splitcore.codecs.plain.config import CHOICES, FORMATS

__all__ = ["CHOICES", "FORMATS"]
