"""The boundary that a configuration requires: its stages, assembled in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from splitcore.boundary.boundary import Boundary
from splitcore.boundary.charging import Releases
from splitcore.boundary.coding import Format, Plain
from splitcore.boundary.finite import Finite
from splitcore.boundary.stages import At, ClientStage
from splitcore.caches.choice import CachePlace
from splitcore.codecs.rounding import Draw, seed_of
from splitcore.config import RunConfig
from splitcore.control.clock import Clock
from splitcore.wire.protocol.messages import Phase

ACTIVATIONS = (Phase.HEAD_UP, Phase.BODY_DOWN)
GRADIENTS = (Phase.TAIL_UP, Phase.BODY_GRAD_DOWN)


def boundary_of(
    config: RunConfig,
    party: str,
    clock: Clock,
    *,
    width: int,
    holds: bool,
    folder: Path | None = None,
    client_stages: Sequence[ClientStage] = (),
    releases: Releases | None = None,
) -> Boundary:
    """One end's boundary in a party's conversation.

    `width`: D. `holds`: whether the cached rows are kept at this end. `folder`: for caches on disk. `releases`: charges
    a data party's rows.
    """
    finite, wire = Finite(), config.wire
    scratch, limit = folder if wire.cache_on == "disk" else None, wire.cache_mb * 1_000_000
    formats = {phase: _format(config, party, phase) for phase in ACTIVATIONS + GRADIENTS}
    of_rows = {
        phase: cache.build(CachePlace(formats[phase], finite, width, limit, scratch, holds))
        for phase, cache in config.caches_by_phase.items()
    }
    return Boundary(
        party,
        clock,
        finite=finite,
        codings={phase: Plain(format_) for phase, format_ in formats.items()},
        of_rows=of_rows,
        packs=wire.skip_padding,
        client_stages=client_stages,
        releases=releases,
    )


def _format(config: RunConfig, party: str, phase: Phase) -> Format:
    """A phase's format. Random rounding is seeded by (run seed, step, micro-batch, party, phase)."""
    codec, seed = config.wire.activations if phase in ACTIVATIONS else config.wire.gradients, config.training.seed
    if codec.rounds() == "nearest":
        return Format(codec.name)

    def draw(at: At) -> Draw:
        return Draw(codec.rounds(), seed_of(seed, at.step, at.micro, party, phase))

    return Format(codec.name, draw)
