"""Pages of `projects`, and the home page."""

from __future__ import annotations

from django.urls import URLPattern, path

from webapp.projects import views

app_name = "projects"
urlpatterns: list[URLPattern] = [
    path("home", views.home, name="home"),
    path("projects", views.project_list, name="list"),
    path("projects/new", views.project_new, name="new"),
    path("projects/<pub:project_id>", views.project_detail, name="detail"),
    path("projects/<pub:project_id>/edit", views.project_edit, name="edit"),
    path("projects/<pub:project_id>/archive", views.project_archive_view, name="archive"),
    path("projects/<pub:project_id>/invite", views.project_invite, name="invite"),
    path(
        "projects/<pub:project_id>/organisations/<pub:participation_id>/end",
        views.participation_end_view,
        name="participation_end",
    ),
    path("projects/<pub:project_id>/<slug:tab>", views.project_detail, name="tab"),
]
