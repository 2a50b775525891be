"""API tokens of the current organisation, and one's own name."""

from __future__ import annotations

from allauth.core.exceptions import ReauthenticationRequired
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from splitcore.errors import AppError
from webapp.accounts.forms import ProfileForm, TokenForm
from webapp.accounts.selectors import token_get_for, tokens_visible_to
from webapp.accounts.services import person_rename, token_create, token_revoke
from webapp.accounts.sessions import signed_in_recently
from webapp.core.errors import http_status
from webapp.core.sealed import seal, unseal
from webapp.orgs.http import MemberRequest, answer_action, member_required, signed_in_required
from webapp.orgs.navigation import organisation_tabs
from webapp.orgs.permissions import Action, why_not

SHOWN_NEXT = "new API token"  # where the session keeps it until it is shown
SHOWN_SECONDS = 600  # a browser follows a redirect at once; a secret that nobody came for is shown no more


@member_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: MemberRequest) -> HttpResponse:
    """The list of tokens, and a form that makes one; the secret is on the next page alone.

    A token outlives the session that made it, so whoever makes one proves anew who they are.
    """
    form = TokenForm(request.POST or None)
    context: dict[str, object] = _new_token(request) if request.method == "GET" else {}
    status = 200
    if request.method == "POST" and form.is_valid():
        if not signed_in_recently(request):
            raise ReauthenticationRequired
        try:
            token, secret = token_create(actor=request.user, organisation=request.organisation, **form.cleaned_data)
        except AppError as error:
            if error.code == "CL-1601":
                raise
            context["error"], status = error, http_status(error.code)
        else:
            request.session[SHOWN_NEXT] = [token.name, seal(secret, SHOWN_NEXT)]
            return redirect("accounts:tokens")  # so that reloading the page makes no second one
    context |= {
        "form": form,
        "tokens": tokens_visible_to(request.user).filter(organisation=request.organisation),
        "now": timezone.now(),
        "why_not": why_not(request.user, Action.MANAGE_TOKENS, request.organisation),
        "tabs": organisation_tabs("/org/tokens"),
        "environment": f"export CUTLAYER_HUB={settings.BASE_URL.rstrip('/')} CUTLAYER_TOKEN=clt_…",
    }
    return render(request, "accounts/tokens.html", context, status=status)


def _new_token(request: MemberRequest) -> dict[str, object]:
    """Name and secret of the token that was made just now: taken out of the session, where it lay encrypted."""
    name, sealed = request.session.pop(SHOWN_NEXT, ("", ""))
    return {"new_token": name, "secret": unseal(sealed, SHOWN_NEXT, seconds=SHOWN_SECONDS)}


@member_required
@require_POST
def token_revoke_view(request: MemberRequest, token_id: str) -> HttpResponse:
    """End a token."""
    token = token_get_for(user=request.user, token_id=token_id)
    return answer_action(
        request,
        lambda: token_revoke(actor=request.user, token=token),
        done=f"The token {token.name} was revoked.",
        to="accounts:tokens",
    )


@signed_in_required
@require_http_methods(["GET", "HEAD", "POST"])
def me(request: MemberRequest) -> HttpResponse:
    """One's own name."""
    form = ProfileForm(request.POST or None, initial={"name": request.user.name})
    if request.method == "POST" and form.is_valid():
        person_rename(actor=request.user, **form.cleaned_data)
        messages.success(request, "Your name was saved.")
        return redirect("accounts:me")
    return render(request, "accounts/me.html", {"form": form})
