"""How the detectors did on trainings with a planted leak and on clean ones, measured per portfolio. Torch-free."""

from __future__ import annotations

from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from splitcore.plain_yaml import yaml_read

LEAST_POWER, MOST_ALARMS = 0.95, 0.01
Captures = Annotated[int, Field(ge=0, le=1 << 20)]


class PlantedRecord(BaseModel):
    """Of trainings with one leak each, in how many it was found; in how many clean ones anything was.

    portfolio: the version for which it was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    portfolio: Captures
    planted: Captures
    found: Captures
    clean: Captures
    alarms: Captures
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]

    @property
    def passed(self) -> bool:
        """Whether detectors that did so may be asked."""
        return self.found >= LEAST_POWER * self.planted > 0 and self.alarms <= MOST_ALARMS * self.clean

    @property
    def words(self) -> str:
        """What was measured."""
        return (
            f"Of {self.planted} trainings with a planted leak, the detectors found it in {self.found}; of {self.clean} "
            f"clean ones, they found something in {self.alarms} (portfolio version {self.portfolio}, {self.date})."
        )


def planted_record() -> PlantedRecord:
    """The committed one: what `make bench ARGS="planted"` last measured."""
    file = resources.files("splitcore.audit") / "portfolios" / "planted.yaml"
    return PlantedRecord.model_validate(yaml_read(file.read_text(encoding="utf-8")))
