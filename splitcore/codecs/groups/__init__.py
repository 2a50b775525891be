"""Six bits per value or fewer: rotated groups, each with its own scale, around the mean of a message's vectors."""

from splitcore.codecs.groups.config import CHOICES, FORMATS

__all__ = ["CHOICES", "FORMATS"]
