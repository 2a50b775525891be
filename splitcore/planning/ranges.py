"""A figure with its uncertainty and its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Low, expected and high value in one unit, and why."""

    low: float
    expected: float
    high: float
    unit: str
    reason: str

    @classmethod
    def exact(cls, value: float, unit: str, reason: str) -> Range:
        """A figure without uncertainty."""
        return cls(value, value, value, unit, reason)

    def to_dict(self) -> dict[str, float | str]:
        """JSON-able form."""
        return {
            "low": self.low,
            "expected": self.expected,
            "high": self.high,
            "unit": self.unit,
            "reason": self.reason,
        }
