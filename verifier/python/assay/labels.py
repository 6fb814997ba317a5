"""What a data set's label says of the problem; the same forms as the service's ``/get_reward`` and ``/rm`` read."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional


def problem_of(label: Any, question_id: str = "") -> Dict[str, Any]:
    r"""The problem a label stands for.

    A problem or a task as it is; tests in columns or rows; everything else that is text or a number is the right answer of a
    math problem. A JSON text is read like the JSON in it.

    >>> problem_of("\\frac{1}{2}")["task"]
    {'type': 'math', 'ground_truth': '\\frac{1}{2}'}
    >>> problem_of(42)["task"]["ground_truth"]
    '42'
    >>> problem_of({"inputs": ["1 2"], "outputs": ["3"]})["task"]["test_cases"]
    [{'input': '1 2', 'output': '3'}]
    >>> problem_of('[{"input": "1", "output": "2"}]')["task"]["type"]
    'code'
    >>> problem_of({"answer": 7})
    Traceback (most recent call last):
    ...
    ValueError: a label that is an object needs `task`, `type` or `inputs`
    """
    if isinstance(label, str):
        try:
            read = json.loads(label)
        except ValueError:
            read = None
        if not (isinstance(read, dict) or _is_rows(read)):
            return _problem({"type": "math", "ground_truth": label}, question_id)
        label = read
    if isinstance(label, bool) or label is None:
        raise ValueError(f"a label is a right answer, tests or a problem, not {label!r}")
    if isinstance(label, (int, float)):
        return _problem({"type": "math", "ground_truth": repr(label)}, question_id)
    if _is_rows(label):
        return _code(None, [(row["input"], row["output"]) for row in label], question_id)
    if not isinstance(label, dict):
        raise ValueError(f"a label is a right answer, tests or a problem, not {label!r:.100}")
    if "task" in label:
        return dict(label)
    if "type" in label:
        return _problem(label, question_id)
    if "inputs" not in label:
        raise ValueError("a label that is an object needs `task`, `type` or `inputs`")
    inputs, outputs = label["inputs"], label["outputs"]
    if len(inputs) != len(outputs):
        raise ValueError(f"there are {len(inputs)} `inputs` and {len(outputs)} `outputs`")
    return _code(label.get("fn_name"), list(zip(inputs, outputs)), question_id)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _problem(task: Any, question_id: str) -> Dict[str, Any]:
    return {"question_id": question_id, "task": task}


def _code(function: Optional[str], tests: List[Any], question_id: str) -> Dict[str, Any]:
    cases = [{"input": given, "output": wanted} for given, wanted in tests]
    task: Dict[str, Any] = {"type": "code", "test_cases": cases}
    if function:
        task["func_name"] = function
    return _problem(task, question_id)
