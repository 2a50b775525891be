"""What a dataset's page shows of its privacy budget, to people of its own organisation."""

from __future__ import annotations

from django.urls import reverse
from pydantic import ValidationError

from splitcore.privacy.words import Spending
from webapp.accounts.models import User
from webapp.datasets.models import Dataset
from webapp.runs.selectors import runs_visible_to
from workers.contracts import DatasetSpent


def spending_shown(dataset: Dataset, user: User) -> Spending | None:
    """As its worker last told it; None where it didn't, such as an older one."""
    try:
        told = DatasetSpent.model_validate(dataset.privacy)
    except ValidationError:
        return None
    known = runs_visible_to(user).filter(pk__in=[one.run_id for one in told.runs])
    return told.in_words().named({run.pk: (str(run), reverse("runs:detail", args=[run.pk])) for run in known})
