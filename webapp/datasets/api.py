"""REST operations of `datasets`. None of them takes rows: those are added on the worker that keeps them."""

from __future__ import annotations

from ninja import Router

from splitcore.bounds import Word
from webapp.accounts.api_auth import READ_AUTH, ApiRequest, TokenAuth
from webapp.accounts.scopes import Scope
from webapp.core.idempotency import idempotent
from webapp.datasets.schemas import DatasetOut, OfferIn
from webapp.datasets.selectors import dataset_get_for, datasets_visible_to
from webapp.datasets.services import dataset_offer, dataset_offer_withdraw
from webapp.projects.selectors import project_get_for

router = Router(tags=["datasets"])


@router.get("", auth=READ_AUTH, response=list[DatasetOut])
def list_datasets(request: ApiRequest, project: Word = "") -> list[DatasetOut]:
    """The organisation's datasets and those that partners offer; with `project` those offered to it."""
    found = datasets_visible_to(request.user)
    if project:
        found = found.filter(projects=project_get_for(user=request.user, project_id=project))
    return [DatasetOut.of(dataset, request.user) for dataset in found]


@router.get("/{pub:dataset_id}", auth=READ_AUTH, response=DatasetOut)
def get_dataset(request: ApiRequest, dataset_id: str) -> DatasetOut:
    """One dataset."""
    return DatasetOut.of(dataset_get_for(user=request.user, dataset_id=dataset_id), request.user)


@router.post("/{pub:dataset_id}/offers", auth=TokenAuth(Scope.ADMIN), response=DatasetOut)
@idempotent
def offer_dataset(request: ApiRequest, dataset_id: str, payload: OfferIn) -> DatasetOut:
    """Offer a dataset to a project."""
    dataset = dataset_get_for(user=request.user, dataset_id=dataset_id)
    dataset_offer(
        actor=request.user,
        dataset=dataset,
        project=project_get_for(user=request.user, project_id=payload.project),
    )
    return DatasetOut.of(dataset, request.user)


@router.delete("/{pub:dataset_id}/offers/{pub:project_id}", auth=TokenAuth(Scope.ADMIN), response=DatasetOut)
def withdraw_dataset(request: ApiRequest, dataset_id: str, project_id: str) -> DatasetOut:
    """Take an offer back."""
    dataset = dataset_get_for(user=request.user, dataset_id=dataset_id)
    project = project_get_for(user=request.user, project_id=project_id)
    dataset_offer_withdraw(actor=request.user, dataset=dataset, project=project)
    return DatasetOut.of(dataset, request.user)
