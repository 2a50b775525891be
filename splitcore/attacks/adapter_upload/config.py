"""Fields of the attack `adapter_upload`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from splitcore.attacks.choice import AttackChoice, LeakChannel

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack
    from splitcore.config import RunConfig


class AdapterUpload(AttackChoice):
    """Find the tokens of whose input vectors the uploaded gradients of the first layer's adapter are made."""

    channel: ClassVar[LeakChannel] = LeakChannel.UPLOADS
    name: Literal["adapter_upload"] = "adapter_upload"

    def refuses(self, config: RunConfig) -> str:
        """See `AttackChoice.refuses`."""
        if not config.schedule.among_several().gradients:
            return "Under this schedule, no gradients of adapters are uploaded."
        if not config.lora.train_head or not config.split.head_layers:
            return "The first layers have no adapter, so that no upload depends on what enters them."
        if config.privacy.masks_sums:
            return "Uploads are masked: the compute organisation reads their sum over the organisations alone."
        return ""

    def build(self) -> Attack:
        """See `AttackChoice.build`."""
        from splitcore.attacks.adapter_upload.attack import AdapterUploadAttack

        return AdapterUploadAttack()
