"""Seeds of second factors that an older version wrote in the clear are encrypted where they stand."""

from django.db import migrations

from webapp.accounts.second_factor import MARK, MFAAdapter


def encrypt_seeds(apps, schema_editor):
    encrypt = MFAAdapter().encrypt
    for row in apps.get_model("mfa", "Authenticator").objects.all():
        clear = {name: row.data[name] for name in ("secret", "seed") if name in row.data}
        found = {name: encrypt(seed) for name, seed in clear.items() if not seed.startswith(MARK)}
        if found:
            row.data = {**row.data, **found}
            row.save(update_fields=["data"])


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_initial"), ("mfa", "0003_authenticator_type_uniq")]
    operations = [migrations.RunPython(encrypt_seeds, migrations.RunPython.noop)]
