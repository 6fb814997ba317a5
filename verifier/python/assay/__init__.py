"""Client of the Assay reward service: sync, async, and reward functions for trainers.

>>> from assay import Client
>>> client = Client("http://127.0.0.1:8080")          # no connection is made yet
>>> problem = {"task": {"type": "math", "ground_truth": "1/2"}}
>>> client.grade(problem, r"\\boxed{0.5}").reward      # doctest: +SKIP
1.0

A sample that cannot be graded has a reward of ``None`` and never 0: drop it. ``on_infra_error`` says otherwise.
"""

from .client import AsyncClient, AssayError, Client, Graded, InfraError, RequestError
from .labels import problem_of

__all__ = ["AssayError", "AsyncClient", "Client", "Graded", "InfraError", "RequestError", "problem_of"]
__version__ = "0.1.0"
