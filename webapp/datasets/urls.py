"""Pages of datasets."""

from __future__ import annotations

from django.urls import path

from webapp.datasets import views

app_name = "datasets"
urlpatterns = [
    path("datasets", views.datasets, name="list"),
    path("datasets/new", views.new, name="new"),
    path("datasets/new/<str:worker_id>", views.upload, name="upload"),
    path("datasets/<str:dataset_id>", views.detail, name="detail"),
    path("datasets/<str:dataset_id>/offer", views.offer, name="offer"),
    path("datasets/<str:dataset_id>/offer/<str:project_id>/withdraw", views.offer_withdraw, name="offer_withdraw"),
    path("datasets/<str:dataset_id>/versions/<int:number>/withdraw", views.version_withdraw, name="version_withdraw"),
]
