"""OpenRLHF: ``--reward.remote_url .../assay/openrlhf.py``, which calls ``reward_func(queries, prompts, labels)``.

The service's own ``/get_reward`` needs no Python at all; this one grades a whole batch in one request. A sample without a
reward raises, as the form has no place for it: the trainer logs that and leaves the rollouts out.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List

from assay.client import Client, shared


def reward_func(queries: List[str], prompts: List[str], labels: List[Any], **_: Any) -> Dict[str, Any]:
    """Rewards of a batch, as tensors where there is torch."""
    client = shared(
        Client, os.environ.get("ASSAY_URL", "http://127.0.0.1:8080"), token=os.environ.get("ASSAY_TOKEN")
    )
    body = {"query": queries, "prompts": prompts, "labels": labels}
    answer = client.request("POST", "/get_reward", body)
    return {name: _tensors(value) for name, value in answer.items()}


def _tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tensors(inner) for name, inner in value.items()}
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return value
    return torch.tensor(value)
