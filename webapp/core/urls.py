"""Pages that belong to no domain: landing, help of each error code, health."""

from django.urls import path

from webapp.core import views

app_name = "core"
urlpatterns = [
    path("", views.landing, name="landing"),
    path("errors/", views.error_index, name="error_index"),
    path("errors/<str:code>", views.error_help, name="error_help"),
    path("health", views.health, name="health"),
    path("health/alive", views.alive, name="alive"),
    path("metrics", views.metrics, name="metrics"),
    path("styleguide/", views.styleguide, name="styleguide"),
]
