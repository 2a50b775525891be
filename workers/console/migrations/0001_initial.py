"""The console's first table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Spent tickets."""

    initial = True
    dependencies: list[tuple[str, str]] = []
    operations = [
        migrations.CreateModel(
            name="SpentTicket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("ticket_id", models.CharField(max_length=64, unique=True)),
                ("expires_at", models.DateTimeField()),
            ],
        )
    ]
