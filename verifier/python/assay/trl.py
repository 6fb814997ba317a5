"""TRL: ``GRPOTrainer(..., reward_funcs=reward_func("answer", url="http://127.0.0.1:8080"))``.

A sample without a reward is ``None``, which TRL leaves out of the advantages.
"""

from __future__ import annotations

from typing import Any, Callable, List, Optional

from .client import Client
from .labels import problem_of


def reward_func(column: str = "answer", *, url: str = "http://127.0.0.1:8080", **options: Any) -> Callable[..., List[Optional[float]]]:
    """A reward function that grades against a data set's column; ``options`` are :class:`~assay.Client`'s.

    >>> reward_func("solution").__name__
    'assay_solution'
    """
    client = Client(url, **options)

    def reward(completions: List[Any], **columns: Any) -> List[Optional[float]]:
        if column not in columns:
            raise KeyError(f"the data set has no column {column!r}; it has {sorted(columns)}")
        pairs = zip(completions, columns[column])
        items = [{"problem": problem_of(label), "completion": text_of(completion)} for completion, label in pairs]
        return [graded.reward for graded in client.grade_batch(items)]

    reward.__name__ = f"assay_{column}"
    return reward


def text_of(completion: Any) -> str:
    """A completion's text; in a conversation, what the assistant said last.

    >>> text_of("a"), text_of([{"role": "assistant", "content": "b"}])
    ('a', 'b')
    """
    if isinstance(completion, str):
        return completion
    said = [message["content"] for message in completion if message.get("role", "assistant") == "assistant"]
    return said[-1] if said else ""
