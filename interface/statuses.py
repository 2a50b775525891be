"""How each state looks: its tone, its icon and its word. Colour is never the only sign."""

from typing import NamedTuple


class StatusLook(NamedTuple):
    """What a status chip shows."""

    tone: str
    icon: str
    label: str


def _same(tone: str, icon: str, *states: str) -> dict[str, StatusLook]:
    """Return looks for states that share a tone and an icon and are called by their own name."""
    return {state: StatusLook(tone, icon, state.replace("_", " ").capitalize()) for state in states}


STATUS_LOOKS: dict[str, StatusLook] = {
    **_same("neutral", "pencil", "draft"),
    **_same(
        "neutral",
        "clock",
        "pending",
        "queued",
        "waiting",
        "none",
        "idle",
        "invited",
        "sent",
        "unknown",
        "scheduled",
        "created",
    ),
    **_same(
        "attention", "user-exclamation", "awaiting_approval", "awaiting_confirmation", "needs_approval", "unverified"
    ),
    **_same("info", "mail-opened", "opened"),
    **_same("info", "circle-check", "approved", "accepted", "registered", "enrolled", "confirmed"),
    **_same(
        "info", "loader-2", "connecting", "preparing", "starting", "launching", "assigned", "dispatched", "validating"
    ),
    **_same("info", "download", "downloading", "downloading_model", "loading_model"),
    **_same("info", "database", "loading", "loading_data"),
    **_same("info", "gauge", "calibrating", "admission", "evaluating", "verifying", "checking"),
    **_same("active", "player-play", "running", "training", "active"),
    **_same("active", "antenna-bars-5", "online", "live", "connected"),
    **_same(
        "info",
        "package",
        "finalising",
        "finishing",
        "saving",
        "collecting",
        "joining",
        "joined",
        "uploading",
        "exporting",
    ),
    **_same("attention", "player-pause", "paused"),
    **_same("attention", "refresh", "recovering"),
    **_same("attention", "player-stop", "stopping", "cancelling"),
    **_same("attention", "droplet-half-2", "draining"),
    **_same("attention", "alert-triangle", "warning", "warn", "stale", "tight", "voided", "void", "unverified"),
    **_same("attention", "shield-off", "quarantined"),
    **_same("attention", "plug-connected-x", "reconnecting", "dropped"),
    **_same("success", "circle-check", "done", "completed", "finished", "succeeded", "ok", "passed", "ready", "fits"),
    **_same("success", "shield-check", "verified", "trusted", "valid"),
    **_same("success", "package-export", "released", "available"),
    **_same("neutral", "square", "stopped", "cancelled", "canceled", "archived", "inactive", "left"),
    **_same("neutral", "plug-off", "offline", "disconnected"),
    **_same("neutral", "replace", "superseded"),
    **_same("neutral", "hourglass-empty", "expired"),
    **_same("neutral", "user-minus", "withdrawn"),
    **_same("danger", "circle-x", "failed", "error", "fail", "invalid", "lost", "crashed"),
    **_same("danger", "ban", "declined", "denied", "rejected", "revoked", "refused", "blocked"),
}


def status_look(state: object) -> StatusLook:
    """Return the look of a state; one that is not listed is shown plainly, by its own name."""
    key = str(state or "unknown").strip().lower().replace("-", "_").replace(" ", "_")
    return STATUS_LOOKS.get(key) or StatusLook("neutral", "circle-dot", key.replace("_", " ").capitalize())
