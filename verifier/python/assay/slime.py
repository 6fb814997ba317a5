"""slime: ``--custom-rm-path assay.slime.reward``. Raises where there is no reward: slime has no place for it."""

from __future__ import annotations

import os
from typing import Any

from .client import AsyncClient, InfraError, shared
from .labels import problem_of
from .verl import _LoopClient


async def reward(args: Any, sample: Any, **_: Any) -> float:
    """The reward of one sample; samples of one moment go out as one batch."""
    import asyncio

    url = getattr(args, "rm_url", None) or os.environ.get("ASSAY_URL", "http://127.0.0.1:8080")
    client: AsyncClient = shared(
        _LoopClient, url, id(asyncio.get_running_loop()), token=os.environ.get("ASSAY_TOKEN")
    )
    graded = await client.grade(problem_of(sample.label), sample.response)
    if graded.reward is None:
        raise InfraError(graded.reason)
    return float(graded.reward)
