"""Pages of `orgs`."""

from __future__ import annotations

from django.urls import URLPattern, path

from webapp.orgs.views import answer, invitations, organisation

app_name = "orgs"
urlpatterns: list[URLPattern] = [
    path("organisations/new", organisation.organisation_new, name="new"),
    path("organisations/switch", organisation.organisation_switch, name="switch"),
    path("org", organisation.profile, name="profile"),
    path("org/people", organisation.people, name="people"),
    path("org/people/<pub:membership_id>/role", organisation.person_role, name="person_role"),
    path("org/people/<pub:membership_id>/deactivate", organisation.person_deactivate, name="person_deactivate"),
    path("org/people/<pub:membership_id>/reactivate", organisation.person_reactivate, name="person_reactivate"),
    path("org/invitations", invitations.invitation_list, name="invitations"),
    path("org/invitations/new", invitations.invitation_new, name="invite"),
    path("org/invitations/<pub:invitation_id>/resend", invitations.invitation_resend_view, name="invitation_resend"),
    path("org/invitations/<pub:invitation_id>/revoke", invitations.invitation_revoke_view, name="invitation_revoke"),
    path("invite/<str:key>", answer.invitation, name="invitation"),
    path("invite/<str:key>/accept", answer.invitation_accept, name="invitation_accept"),
    path("invite/<str:key>/decline", answer.invitation_decline_view, name="invitation_decline"),
]
