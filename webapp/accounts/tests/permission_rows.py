"""Who gets what from the routes of `accounts`, and of signing in."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from webapp.accounts.models import ApiToken
from webapp.orgs.tests.permission_table import Row, World, admins, builds, expect, members, public


@builds
def build(world: World) -> None:
    """A token of the own administrator."""
    world.ids["api_token"] = ApiToken.objects.create(
        user=world.users["admin"],
        organisation=world.own,
        name="theirs",
        token_hash="0" * 64,
        hint="0000",
        scopes=["read"],
        expires_at=timezone.now() + timedelta(days=1),
    ).pk


TOKEN = {"token_id": "api_token"}
# Who is not the owner and no administrator does not see the token at all.
OWNERS = admins(viewer=404)
VISITORS = expect(200, 302, 302, 302, 302)  # who is signed in goes to the home page
REAUTHENTICATE = members(302)  # asks for the password again before it shows anything

ROWS = [
    Row("accounts:me", {"GET": members(), "POST": members(302)}, data={"POST": {"name": "New Name"}}),
    Row(
        "accounts:tokens",
        {"GET": members(), "POST": REAUTHENTICATE},
        data={"POST": {"name": "nightly", "scopes": ["read"], "days": "30"}},
    ),
    Row("accounts:token_revoke", {"GET": expect(302, 405, 405, 405, 405), "POST": OWNERS}, TOKEN),
    Row("GET /api/v1/me", {"GET": members(anonymous=401)}, kind="api"),
    Row("GET /api/v1/tokens", {"GET": members(anonymous=401)}, kind="api"),
    Row(
        "DELETE /api/v1/tokens/{token_id}",
        {"DELETE": admins(200, viewer=404, anonymous=401)},
        TOKEN,
        kind="api",
    ),
    # Signing in, by allauth: nothing here takes an id of another person's.
    Row("account_login", {"GET": VISITORS, "POST": VISITORS}),
    Row("account_logout", {"GET": members(200), "POST": members(302)}),
    Row("account_inactive", {"GET": public()}),
    Row("account_signup", {"GET": VISITORS, "POST": VISITORS}),
    Row("account_reauthenticate", {"GET": members(200), "POST": members(200)}),
    Row("account_email", {"GET": members(200), "POST": members(302)}),
    Row("account_email_verification_sent", {"GET": public()}),
    Row("account_confirm_email", {"GET": public(), "POST": public(404)}, {"key": "=not-a-key"}),
    Row("account_change_password", {"GET": members(200), "POST": members(200)}),
    Row("account_set_password", {"GET": members(302), "POST": members(302)}),
    Row("account_reset_password", {"GET": public(), "POST": public()}),
    Row("account_reset_password_done", {"GET": public()}),
    Row("account_reset_password_from_key", {"GET": public(), "POST": public()}, {"uidb36": "=1", "key": "=a-b"}),
    Row("account_reset_password_from_key_done", {"GET": public()}),
    Row("account_confirm_login_code", {"GET": public(302), "POST": public(302)}),
    Row("mfa_index", {"GET": members(200)}),
    Row("mfa_authenticate", {"GET": public(302), "POST": public(302)}),
    Row("mfa_reauthenticate", {"GET": members(302), "POST": members(302)}),
    Row("mfa_activate_totp", {"GET": REAUTHENTICATE, "POST": REAUTHENTICATE}),
    Row("mfa_deactivate_totp", {"GET": members(404), "POST": members(404)}),
    Row("mfa_view_recovery_codes", {"GET": members(404)}),
    Row("mfa_generate_recovery_codes", {"GET": REAUTHENTICATE, "POST": REAUTHENTICATE}),
    Row("mfa_download_recovery_codes", {"GET": members(404)}),
    Row("usersessions_list", {"GET": members(200), "POST": members(302)}),
]
