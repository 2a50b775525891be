"""Six bits per value and fewer: rotated groups with a scale of their own, about the mean of a message's vectors."""

from splitcore.codecs.groups.config import CHOICES, FORMATS

__all__ = ["CHOICES", "FORMATS"]
