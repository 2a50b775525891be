"""CL-16xx. Accounts, permissions and invitations."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1601": ErrorHelp(
        "Your role does not allow this",
        "The action needs a role in the organisation that you do not hold.",
        "Ask an administrator of the organisation, named in the message, to change your role.",
    ),
    "CL-1602": ErrorHelp(
        "The invitation cannot be used",
        "It has expired, was withdrawn, was replaced by a newer link, or was already answered; or its sender has left.",
        "Ask the organisation that invited you to send it again; only the newest link works.",
    ),
    "CL-1603": ErrorHelp(
        "Too many attempts",
        "Several passwords, codes, tokens or links in a row were wrong, or many requests of one kind came at once.",
        "Wait as long as the message or the header `Retry-After` says, then try again.",
    ),
    "CL-1604": ErrorHelp(
        "The API token lacks a scope",
        "The token is valid, but was not made for this kind of request.",
        "Make a token with the named scope on the page API tokens.",
    ),
    "CL-1605": ErrorHelp(
        "This was already done differently",
        "The request contradicts an earlier one: the same key with another body, or an object that exists.",
        "Use a new Idempotency-Key for a new request, or look at what exists already.",
    ),
    "CL-1606": ErrorHelp(
        "The organisation would lose its last administrator",
        "Nobody would be left who can manage people and roles.",
        "Make another active member administrator first.",
    ),
    "CL-1607": ErrorHelp(
        "The organisation requires a second factor",
        "You have signed in with a password alone, and this organisation asks for a code as well.",
        "Set up an authenticator app under Two-factor sign-in, or sign in again with its code, then go on.",
    ),
    "CL-1608": ErrorHelp(
        "The invitation is for another e-mail address",
        "You are signed in with an address other than the one that was invited.",
        "Sign in with the invited address, add it to your account, or ask for an invitation to the address you use.",
    ),
    "CL-1609": ErrorHelp(
        "The account could not be changed",
        "The change does not fit the present state of the organisation, person or invitation.",
        "Reload the page to see the present state, then try again.",
    ),
    "CL-1610": ErrorHelp(
        "The request is not signed in",
        "The API token is missing, unknown, expired or revoked, or its owner left the organisation.",
        "Send `Authorization: Bearer …` with a valid token of the page API tokens.",
    ),
    "CL-1611": ErrorHelp(
        "There is nothing here",
        "The address or id is wrong, or what it names belongs to an organisation that is not yours.",
        "Check the address; what you may see is in the lists.",
    ),
    "CL-1612": ErrorHelp(
        "The invited person belongs there already",
        "The address is that of a member of the organisation that invites.",
        "Change the member's role, or invite another address.",
    ),
    "CL-1620": ErrorHelp(
        "The request has characters that no text has",
        "A field or the address holds a control character, such as a zero byte.",
        "Type the text again instead of pasting it; a program must send plain text.",
    ),
    "CL-1621": ErrorHelp(
        "The request cannot be read",
        "Its session cookie holds a control character, or it is written in an encoding that is none of plain text.",
        "Delete the site's cookies and try again; a program must send UTF-8.",
    ),
}
