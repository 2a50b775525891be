from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0004_parent_config_and_holds")]

    operations = [
        migrations.AddField(model_name="run", name="waited_at", field=models.DateTimeField(blank=True, null=True)),
    ]
