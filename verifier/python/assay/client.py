"""The client: connections kept open, deadlines, retries; only the standard library.

What is repeated: a connection that broke off, and 429, 502, 503 and 504, after the time in ``Retry-After`` or one that
doubles. Grading changes nothing, so repeating it is safe. What is not: anything else, since it would not help. All of it
ends at the deadline, which the service is told in ``X-Deadline-Ms``.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import queue
import random
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, TypeVar, Union
from urllib.parse import urlsplit

OnInfraError = Union[str, float]
T = TypeVar("T")


class AssayError(Exception):
    """The service gave no answer that can be used."""


class RequestError(AssayError):
    """The request is wrong; asking again does not help. ``status`` is the HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"HTTP {status}: {detail}")
        self.status = status
        self.detail = detail


class InfraError(AssayError):
    """The service failed, is not there, or did not answer in time. Not the sample's fault."""


@dataclass(frozen=True)
class Graded:
    """What became of one sample. ``reward`` is ``None`` where there is none; ``raw`` has every field of the answer."""

    outcome: str
    reward: Optional[float]
    verdict: Optional[str] = None
    passed: Optional[int] = None
    total: Optional[int] = None
    reason: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def infra_error(self) -> bool:
        """Whether the service, and not the sample or its problem, is at fault."""
        return self.outcome == "infra_error"

    @staticmethod
    def of(answer: Mapping[str, Any]) -> "Graded":
        """Reads one answer of the service.

        >>> Graded.of({"outcome": "graded", "reward": 1.0, "verdict": "accepted", "reason": "fine"})
        Graded(outcome='graded', reward=1.0, verdict='accepted', passed=None, total=None, reason='fine')
        """
        return Graded(
            outcome=answer["outcome"], reward=answer.get("reward"), verdict=answer.get("verdict"),
            passed=answer.get("passed"), total=answer.get("total"), reason=answer.get("reason", ""), raw=answer,
        )


class Client:
    """A client for any number of threads.

    ``timeout`` is how long one call may take in all, retries included, in seconds. ``on_infra_error`` says what becomes of a
    sample for which the service fails: ``"none"``, a reward of ``None``; ``"raise"``, an :class:`InfraError`; a number, that
    reward. Bodies of more than ``compress`` bytes are sent gzipped; 0 never does.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8080",
        *,
        token: Optional[str] = None,
        timeout: float = 600.0,
        retries: int = 8,
        pool: int = 32,
        on_infra_error: OnInfraError = "none",
        compress: int = 1 << 16,
        ssl_context: Optional[ssl.SSLContext] = None,
    ) -> None:
        parts = urlsplit(base_url if "//" in base_url else f"http://{base_url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected an address such as http://127.0.0.1:8080, not {base_url!r}")
        if isinstance(on_infra_error, str) and on_infra_error not in ("none", "raise"):
            raise ValueError(f'on_infra_error is "none", "raise" or a number, not {on_infra_error!r}')
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port or (443 if self._secure else 80)
        self._prefix = parts.path.rstrip("/")
        self._token, self._ssl = token, ssl_context
        self.timeout, self.retries, self.on_infra_error = timeout, retries, on_infra_error
        self._compress = compress
        self._idle: "queue.LifoQueue[http.client.HTTPConnection]" = queue.LifoQueue(pool)

    def grade(
        self,
        problem: Optional[Mapping[str, Any]] = None,
        completion: str = "",
        *,
        problem_id: Optional[str] = None,
        timeout: Optional[float] = None,
        **options: Any,
    ) -> Graded:
        """Grades one completion. ``options`` are the item's: ``profile``, ``language``, ``mode``, ``reward``, ``limits``."""
        item = item_of(problem, completion, problem_id, options)
        try:
            return self._settled(Graded.of(self.request("POST", "/v1/grade", item, timeout=timeout)))
        except InfraError as error:
            return self._settled(failed(error))

    def grade_batch(
        self, items: Iterable[Mapping[str, Any]], *, timeout: Optional[float] = None
    ) -> List[Graded]:
        """Grades many items in one request; the results in their order, one for each."""
        items = list(items)
        if not items:
            return []
        try:
            answer = self.request("POST", "/v1/grade/batch", {"items": items}, timeout=timeout)
            results = [Graded.of(result) for result in answer["results"]]
        except InfraError as error:
            results = [failed(error)] * len(items)
        return [self._settled(result) for result in results]

    def store(self, problem: Mapping[str, Any], *, timeout: Optional[float] = None) -> str:
        """Stores a problem at the service, once; its id is for ``problem_id``."""
        return str(self.request("POST", "/v1/problems", problem, timeout=timeout)["id"])

    def version(self) -> Dict[str, Any]:
        """What the service is and can."""
        return dict(self.request("GET", "/v1/version"))

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(
        self, method: str, path: str, body: Optional[Any] = None, *, timeout: Optional[float] = None
    ) -> Any:
        """One call of the service's API: JSON in, JSON out."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json"}
        if data is not None:
            headers["Content-Type"] = "application/json"
            if self._compress and len(data) > self._compress:
                data, headers["Content-Encoding"] = gzip.compress(data, 1), "gzip"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        attempt, why = 0, "no time was left"
        while time.monotonic() < deadline:
            wait: Optional[float] = None
            try:
                status, reply, retry_after = self._once(method, path, data, headers, deadline)
                if status < 300:
                    return json.loads(reply) if reply else None
                if status not in (429, 502, 503, 504) and status < 500:
                    raise RequestError(status, detail_of(reply))
                why, wait = f"HTTP {status}: {detail_of(reply)}", retry_after
                if status not in (429, 502, 503, 504):
                    raise InfraError(why)
            except (OSError, http.client.HTTPException) as error:
                why = f"{type(error).__name__}: {error}"
            attempt += 1
            if attempt > self.retries:
                break
            time.sleep(max(0.0, min(pause(attempt, wait), deadline - time.monotonic())))
        raise InfraError(f"{method} {path} failed after {attempt} attempts; the last: {why}")

    def _once(
        self, method: str, path: str, data: Optional[bytes], headers: Dict[str, str], deadline: float
    ) -> Tuple[int, bytes, Optional[float]]:
        left = max(0.001, deadline - time.monotonic())
        connection, fresh = self._connection(left)
        headers = {**headers, "X-Deadline-Ms": str(int(left * 1000))}
        try:
            try:
                connection.request(method, self._prefix + path, body=data, headers=headers)
                response = connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # The service closes connections that were idle for long; that is no failure.
                if fresh:
                    raise
                connection.close()
                connection, _ = self._connection(left, new=True)
                connection.request(method, self._prefix + path, body=data, headers=headers)
                response = connection.getresponse()
            reply = response.read()
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            try:
                self._idle.put_nowait(connection)
            except queue.Full:
                connection.close()
        return response.status, reply, retry_after(response.getheader("Retry-After"))

    def _connection(self, timeout: float, new: bool = False) -> Tuple[http.client.HTTPConnection, bool]:
        if not new:
            try:
                connection = self._idle.get_nowait()
                if connection.sock is not None:
                    connection.sock.settimeout(timeout)
                    return connection, False
            except queue.Empty:
                pass
        if self._secure:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=self._ssl or ssl.create_default_context()
            ), True
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout), True

    def _settled(self, graded: Graded) -> Graded:
        if not graded.infra_error or self.on_infra_error == "none":
            return graded
        if self.on_infra_error == "raise":
            raise InfraError(graded.reason)
        return Graded(outcome=graded.outcome, reward=float(self.on_infra_error), reason=graded.reason, raw=graded.raw)


class AsyncClient:
    """For one event loop. Calls of :meth:`grade` that come within ``linger`` seconds go out as one batch.

    The requests themselves are made on ``threads`` threads by a :class:`Client`, whose arguments this one takes.
    """

    def __init__(
        self, base_url: str = "http://127.0.0.1:8080", *, linger: float = 0.005, batch: int = 256,
        threads: int = 8, **options: Any,
    ) -> None:
        self.client = Client(base_url, **options)
        self._linger, self._batch = linger, batch
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="assay")
        self._waiting: List[Tuple[Dict[str, Any], "asyncio.Future[Graded]"]] = []
        self._flushes: "set[asyncio.Task[None]]" = set()

    async def grade(
        self, problem: Optional[Mapping[str, Any]] = None, completion: str = "", *,
        problem_id: Optional[str] = None, **options: Any,
    ) -> Graded:
        """As :meth:`Client.grade`; with others of its moment in one request."""
        future: "asyncio.Future[Graded]" = asyncio.get_running_loop().create_future()
        self._waiting.append((item_of(problem, completion, problem_id, options), future))
        if len(self._waiting) >= self._batch:
            self._send(0.0)
        elif len(self._waiting) == 1:
            self._send(self._linger)
        return await future

    async def grade_batch(self, items: Iterable[Mapping[str, Any]]) -> List[Graded]:
        """As :meth:`Client.grade_batch`."""
        items = list(items)
        return await self._in_thread(lambda: self.client.grade_batch(items))

    async def store(self, problem: Mapping[str, Any]) -> str:
        """As :meth:`Client.store`."""
        return await self._in_thread(lambda: self.client.store(problem))

    async def aclose(self) -> None:
        """Waits for what is under way and closes the connections."""
        while self._flushes:
            await asyncio.gather(*self._flushes)
        self._threads.shutdown(wait=False)
        self.client.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _send(self, after: float) -> None:
        task = asyncio.get_running_loop().create_task(self._flush(after))
        self._flushes.add(task)
        task.add_done_callback(self._flushes.discard)

    async def _flush(self, after: float) -> None:
        await asyncio.sleep(after)
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        items = [item for item, _ in waiting]
        try:
            # A batch says of each item what became of it; what is to be raised is raised to its own caller.
            results = await self._in_thread(lambda: self._unsettled(items))
        except BaseException as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else InfraError(repr(error)))
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(waiting, results):
            if future.done():
                continue
            try:
                if result.outcome == "invalid":
                    raise RequestError(422, result.reason)
                future.set_result(self.client._settled(result))
            except AssayError as error:
                future.set_exception(error)

    def _unsettled(self, items: List[Dict[str, Any]]) -> List[Graded]:
        try:
            answer = self.client.request("POST", "/v1/grade/batch", {"items": items})
            return [Graded.of(result) for result in answer["results"]]
        except InfraError as error:
            return [failed(error)] * len(items)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def item_of(
    problem: Optional[Mapping[str, Any]], completion: str, problem_id: Optional[str], options: Mapping[str, Any]
) -> Dict[str, Any]:
    """One item of a batch.

    >>> item_of({"task": {}}, "x", None, {"mode": "code"})
    {'problem': {'task': {}}, 'completion': 'x', 'mode': 'code'}
    """
    if (problem is None) == (problem_id is None):
        raise ValueError("give either the problem or its problem_id")
    which = {"problem": dict(problem)} if problem is not None else {"problem_id": problem_id}
    return {**which, "completion": completion, **options}


def failed(error: InfraError) -> Graded:
    """A sample without an answer."""
    return Graded(outcome="infra_error", reward=None, reason=str(error))


def pause(attempt: int, asked: Optional[float]) -> float:
    """Seconds before the next attempt: as long as the service asks for, or twice as long each time, up to 30 s.

    >>> pause(3, 2.0)
    2.0
    >>> 1.0 <= pause(3, None) <= 3.0
    True
    """
    if asked is not None:
        return asked
    usual: float = min(0.25 * 2**attempt, 30.0)
    return usual * random.uniform(0.5, 1.5)


def retry_after(value: Optional[str]) -> Optional[float]:
    """The header's seconds, or those until its date.

    >>> retry_after("1"), retry_after("soon"), retry_after(None)
    (1.0, None, None)
    >>> retry_after("Fri, 31 Dec 1999 23:59:59 GMT")
    0.0
    """
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def detail_of(reply: bytes) -> str:
    """What an error's body says.

    >>> detail_of(b'{"detail": "no"}'), detail_of(b"<html>")
    ('no', '<html>')
    """
    try:
        return str(json.loads(reply)["detail"])
    except (ValueError, KeyError, TypeError):
        return reply[:200].decode("utf-8", "replace")


_shared: Dict[Tuple[Any, ...], Client] = {}
_lock = threading.Lock()


def shared(kind: type, *key: Any, **options: Any) -> Any:
    """One client of this process for the same arguments: reward functions are called with no place to keep theirs."""
    with _lock:
        name = (kind, *key, *sorted(options.items()))
        if name not in _shared:
            _shared[name] = kind(*key, **options)
        return _shared[name]
