"""veRL: ``reward.custom_reward_function.path=.../assay/verl.py`` and ``name=compute_score``.

Every sample's answer has the same keys, because veRL reads the first one's and looks for them in all others. A failure of
the service has ``infra_error`` 1.0 and the score ``infra_score`` (0.0), since veRL has no place for a missing reward: mask
those samples, or watch the metric. ``url`` comes from ``reward_kwargs`` or the environment's ``ASSAY_URL``.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Optional

from assay.client import AsyncClient, Client, Graded, shared
from assay.labels import problem_of


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Optional[Dict[str, Any]] = None,
    *,
    url: Optional[str] = None,
    token: Optional[str] = None,
    timeout: float = 600.0,
    infra_score: float = 0.0,
    **options: Any,
) -> Dict[str, Any]:
    """The score of one solution."""
    client = shared(Client, address(url), token=token or os.environ.get("ASSAY_TOKEN"), timeout=timeout)
    return score_of(client.grade(problem_of(ground_truth, data_source), solution_str, **options), infra_score)


async def compute_score_async(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Optional[Dict[str, Any]] = None,
    *,
    url: Optional[str] = None,
    token: Optional[str] = None,
    timeout: float = 600.0,
    infra_score: float = 0.0,
    **options: Any,
) -> Dict[str, Any]:
    """As :func:`compute_score`; solutions of one moment go out as one batch."""
    import asyncio

    loop = id(asyncio.get_running_loop())
    key = {"token": token or os.environ.get("ASSAY_TOKEN"), "timeout": timeout}
    client = shared(_LoopClient, address(url), loop, **key)
    graded = await client.grade(problem_of(ground_truth, data_source), solution_str, **options)
    return score_of(graded, infra_score)


class _LoopClient(AsyncClient):
    """An :class:`AsyncClient` belongs to one event loop; the loop is part of what it is found by."""

    def __init__(self, base_url: str, _loop: int, **options: Any) -> None:
        super().__init__(base_url, **options)


def address(url: Optional[str]) -> str:
    """Where the service is.

    >>> address("http://reward:8080")
    'http://reward:8080'
    """
    return url or os.environ.get("ASSAY_URL", "http://127.0.0.1:8080")


def score_of(graded: Graded, infra_score: float = 0.0) -> Dict[str, Any]:
    """veRL's answer, with the same keys whatever happened.

    >>> score_of(Graded("graded", 1.0, "accepted", 2, 2))
    {'score': 1.0, 'verdict': 'accepted', 'passed': 2, 'total': 2, 'infra_error': 0.0}
    >>> score_of(Graded("infra_error", None))
    {'score': 0.0, 'verdict': 'infra_error', 'passed': 0, 'total': 0, 'infra_error': 1.0}
    """
    return {
        "score": infra_score if graded.reward is None else float(graded.reward),
        "verdict": graded.verdict or graded.outcome,
        "passed": graded.passed or 0,
        "total": graded.total or 0,
        "infra_error": 0.0 if graded.outcome == "graded" else 1.0,
    }
