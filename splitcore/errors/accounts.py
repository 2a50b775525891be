"""CL-16xx. Accounts, permissions and invitations."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1601": ErrorHelp(
        "Your role doesn't allow this",
        "This action requires a role that you don't have in the organisation.",
        "Ask an administrator named in the message to change your role.",
    ),
    "CL-1602": ErrorHelp(
        "The invitation can't be used",
        "It has expired, was withdrawn, replaced by a newer link or already answered, or its sender has left.",
        "Ask the organisation that invited you to send it again. Only the newest link works.",
    ),
    "CL-1603": ErrorHelp(
        "Too many attempts",
        "Several wrong passwords, codes, tokens or links in a row, or too many requests of one kind at once.",
        "Wait for the time given in the message or in the `Retry-After` header, then try again.",
    ),
    "CL-1604": ErrorHelp(
        "The API token doesn't have the required scope",
        "The token is valid but doesn't cover this kind of request.",
        "Create a token with the named scope under API tokens.",
    ),
    "CL-1605": ErrorHelp(
        "This was already done differently",
        "The request contradicts an earlier one: the same key with a different body, or an object that already exists.",
        "Use a new Idempotency-Key for a new request, or check what already exists.",
    ),
    "CL-1606": ErrorHelp(
        "The organisation would lose its last administrator",
        "Nobody would be left to manage people and roles.",
        "Make another active member an administrator first.",
    ),
    "CL-1607": ErrorHelp(
        "The organisation requires a second factor",
        "You signed in with a password alone, but this organisation also requires a code.",
        "Set up an authenticator app under Two-factor sign-in, or sign in again with its code. Then continue.",
    ),
    "CL-1608": ErrorHelp(
        "The invitation is for another e-mail address",
        "You're signed in with a different address from the one that was invited.",
        "Sign in with the invited address, add it to your account, or ask for an invitation to the address you use.",
    ),
    "CL-1609": ErrorHelp(
        "The account couldn't be changed",
        "The change isn't possible in the current state of the organisation, person or invitation.",
        "Reload the page to see the current state, then try again.",
    ),
    "CL-1610": ErrorHelp(
        "The request isn't authenticated",
        "The API token is missing, unknown, expired or revoked, or its owner left the organisation.",
        "Create a token under API tokens. Send `Authorization: Bearer clt_…`, or set CUTLAYER_TOKEN for commands.",
    ),
    "CL-1611": ErrorHelp(
        "Not found",
        "The address or id is wrong, or it belongs to an organisation that you aren't a member of.",
        "Check the address. The lists show everything that you can access.",
    ),
    "CL-1612": ErrorHelp(
        "The invited person is already a member",
        "The address belongs to a member of the inviting organisation.",
        "Change the member's role, or invite a different address.",
    ),
    "CL-1613": ErrorHelp(
        "A word in the name mixes alphabets",
        "A word contains look-alike letters from two alphabets, such as a Cyrillic А in a Latin word.",
        "Type each word of the name in one alphabet. Different words may use different alphabets.",
    ),
    "CL-1614": ErrorHelp(
        "The name is reserved",
        "The hub uses this name for itself, for one of its components, or for people without a name.",
        "Choose a name that can't be mistaken for the hub's.",
    ),
    "CL-1615": ErrorHelp(
        "The project's name looks like another one's",
        "The organisation takes part in a project whose name is indistinguishable from this one.",
        "Choose another name, or archive the old project if it is no longer needed.",
    ),
    "CL-1620": ErrorHelp(
        "The request contains control characters",
        "A field or the address contains a control character, such as a zero byte.",
        "Type the text again instead of pasting it. Programs must send plain text.",
    ),
    "CL-1621": ErrorHelp(
        "The request can't be read",
        "Its session cookie contains a control character, or it isn't encoded as plain text.",
        "Delete the site's cookies and try again. Programs must send UTF-8.",
    ),
}
