"""People and their API tokens."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models, transaction
from django.dispatch import Signal

from webapp.core.models import PublicModel

password_replaced = Signal()  # with `user`; in the transaction that writes the new password


class UserManager(BaseUserManager["User"]):
    """Makes users who sign in by e-mail."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a person; without a password the account cannot sign in by one."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a hub administrator."""
        return self.create_user(email, password, is_hub_admin=True, is_superuser=True, **fields)


class User(PublicModel, AbstractBaseUser, PermissionsMixin):
    """A person. What they may do follows from their memberships, not from this row."""

    id_prefix: ClassVar[str] = "usr"

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    is_active = models.BooleanField(default=True)
    is_hub_admin = models.BooleanField(default=False)

    objects: ClassVar[UserManager] = UserManager()  # type: ignore[misc]

    _password: str | None  # of Django: one that was set and is not saved yet
    keeps_tokens = False  # set before a new password is saved, where its owner wants so

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.name or self.email

    def save(self, **options: Any) -> None:
        """Write the row. Whatever gives a person another password, page or command, what follows is done with it."""
        is_new = self._password is not None and not self._state.adding
        with transaction.atomic():
            super().save(**options)
            if is_new:
                password_replaced.send(sender=User, user=self)

    def get_full_name(self) -> str:
        """The name, for templates that ask for it in Django's way."""
        return self.name


class ApiToken(PublicModel):
    """A named, scoped, expiring token of one person within one organisation. Only its hash is stored."""

    id_prefix: ClassVar[str] = "tok"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    token_hash = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=12)
    scopes = models.JSONField(default=list)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class IdempotentAnswer(models.Model):
    """The first answer to a POST with an Idempotency-Key, kept for a day."""

    owner_id = models.CharField(max_length=32)  # of the API token, else of the person
    key = models.CharField(max_length=200)
    path = models.CharField(max_length=400)
    body_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner_id", "key", "path"], name="one_idempotent_answer")]

    def __str__(self) -> str:
        return f"{self.path} {self.key}"
