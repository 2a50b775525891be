"""Pages of datasets."""

from __future__ import annotations

from django.urls import path

from webapp.datasets import views

app_name = "datasets"
urlpatterns = [
    path("datasets", views.datasets, name="list"),
    path("datasets/new", views.new, name="new"),
    path("datasets/new/<pub:worker_id>", views.upload, name="upload"),
    path("datasets/<pub:dataset_id>", views.detail, name="detail"),
    path("datasets/<pub:dataset_id>/offer", views.offer, name="offer"),
    path("datasets/<pub:dataset_id>/offer/<pub:project_id>/withdraw", views.offer_withdraw, name="offer_withdraw"),
    path("datasets/<pub:dataset_id>/versions/<int:number>/withdraw", views.version_withdraw, name="version_withdraw"),
]
