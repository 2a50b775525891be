"""The filter of the audit log."""

from __future__ import annotations

from django import forms
from django.db.models import Q, QuerySet

from webapp.audit.models import AuditEntry


class AuditFilter(forms.Form):
    """What to show of the log; every field is optional."""

    q = forms.CharField(required=False, max_length=100, label="Person, worker or object")
    action = forms.CharField(
        required=False, max_length=60, label="Action", help_text="For example: run or invitation.sent"
    )
    start = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    end = forms.DateField(required=False, label="Until", widget=forms.DateInput(attrs={"type": "date"}))

    def apply(self, entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """The entries that pass; an invalid field filters nothing."""
        self.is_valid()
        chosen = self.cleaned_data
        if text := chosen.get("q"):
            entries = entries.filter(
                Q(actor_label__icontains=text) | Q(actor_id=text) | Q(object_id=text) | Q(project_id=text)
            )
        if action := chosen.get("action"):
            entries = entries.filter(action__startswith=action.strip())
        if start := chosen.get("start"):
            entries = entries.filter(at__date__gte=start)
        if end := chosen.get("end"):
            entries = entries.filter(at__date__lte=end)
        return entries
