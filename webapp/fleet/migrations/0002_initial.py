"""The first tables of `fleet`."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("fleet", "0001_initial"),
        ("orgs", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="enrolmenttoken",
            name="organisation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="enrolment_tokens", to="orgs.organisation"
            ),
        ),
        migrations.AddConstraint(
            model_name="spentnonce",
            constraint=models.UniqueConstraint(fields=("worker_id", "nonce"), name="one_nonce"),
        ),
        migrations.AddField(
            model_name="worker",
            name="confirmed_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="worker",
            name="organisation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="workers", to="orgs.organisation"
            ),
        ),
        migrations.AddField(
            model_name="enrolmenttoken",
            name="worker",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="enrolment",
                to="fleet.worker",
            ),
        ),
        migrations.AddField(
            model_name="workermodel",
            name="worker",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="models", to="fleet.worker"
            ),
        ),
        migrations.AddConstraint(
            model_name="worker",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["revoked", "left"]), _negated=True),
                fields=("organisation", "name"),
                name="one_worker_name",
            ),
        ),
        migrations.AddConstraint(
            model_name="workermodel",
            constraint=models.UniqueConstraint(fields=("worker", "model_id", "manifest_hash"), name="one_worker_model"),
        ),
    ]
