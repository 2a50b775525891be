"""Writes of artefacts: segments in, one adapter out, its checks, its package, its downloads."""

from webapp.adapters.services.checking import adapter_verified, checks_open
from webapp.adapters.services.downloading import adapter_download, adapter_for_worker
from webapp.adapters.services.joining import adapter_join
from webapp.adapters.services.packaging import adapter_package
from webapp.adapters.services.segments import segment_limit, segment_store
from webapp.adapters.services.tokenizer import tokenizer_limit, tokenizer_store

__all__ = [
    "adapter_download",
    "adapter_for_worker",
    "adapter_join",
    "adapter_package",
    "adapter_verified",
    "checks_open",
    "segment_limit",
    "segment_store",
    "tokenizer_limit",
    "tokenizer_store",
]
