"""A client of web APIs: one request at a time, with a rate limit, retries, and stored answers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from sketchdata.errors import FetchError
from sketchdata.storage.fetch import FetchPolicy, retry_after, ssl_context
from sketchdata.storage.manifest import replacing

JsonAnswer = dict[str, Any]

#: Maximum size of an answer in bytes; real ones have at most a few hundred kilobytes.
_MAX_BYTES = 16 << 20
_PASSING = (408, 425, 429)


class PassingError(Exception):
    """The API cannot answer now, but may later: after `retry_after` seconds, if it says so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(kw_only=True)
class WebApi:
    """An API that answers with JSON objects; each answer is stored on disk immediately.

    Attributes:
        name: Its name in messages.
        address: Its URL.
        user_agent: The User-Agent header.
        pause: Minimum seconds between two requests.
        folder: The folder of stored answers, with which a stopped run resumes.
        policy: Retries and timeouts.
        headers: Headers of each request; they may contain a secret.
        secret: Parameters of each request that are not stored.
        advice: What to do if requests are refused.
        check: Raises PassingError or FetchError if an answer with status 200 reports an error.
    """

    name: str
    address: str
    user_agent: str
    pause: float
    folder: Path
    policy: FetchPolicy
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    advice: str = "check the address"
    check: Callable[[JsonAnswer], object] = bool
    _last: float = field(default=-float("inf"), init=False, repr=False)

    def ask(self, question: Mapping[str, str]) -> JsonAnswer:
        """Return the answer to a request with some parameters.

        Raises:
            FetchError: There is no answer after all retries, the request is refused, or the API asks for too long a
                pause.
        """
        asked = orjson.dumps([self.address, sorted(question.items())])
        path = self.folder / self.name / f"{hashlib.sha256(asked).hexdigest()[:32]}.json"
        try:
            answer: JsonAnswer = orjson.loads(path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            answer = self._ask_until_answered(question)
            with replacing(path) as file:
                file.write(orjson.dumps(answer))
        return answer

    def _ask_until_answered(self, question: Mapping[str, str]) -> JsonAnswer:
        failures = 0
        while True:
            try:
                return self._ask_once(question)
            except PassingError as fault:
                failures += 1
                if failures >= self.policy.tries:
                    raise FetchError(
                        f"{self.name} gave no answer in {failures} tries; the last time: {fault}. What was found "
                        "is kept, and the same command resumes from there"
                    ) from fault
                wait = fault.retry_after or 0.0
                if wait > self.policy.longest_retry_after:
                    raise FetchError(
                        f"{self.name} asks to wait {wait / 60:,.0f} minutes at least ({fault}). "
                        "What was found is kept: run the same command then"
                    ) from fault
            time.sleep(max(wait, min(self.policy.longest_pause, self.policy.pause_seconds * 2 ** (failures - 1))))

    def _ask_once(self, question: Mapping[str, str]) -> JsonAnswer:
        time.sleep(max(0.0, self._last + self.pause - time.monotonic()))
        # One connection per request, because the server need not keep it open during the pauses.
        stream = httpx.stream(
            "GET",
            self.address,
            params={**question, **self.secret},
            headers={"User-Agent": self.user_agent, "Accept": "application/json", **self.headers},
            timeout=httpx.Timeout(self.policy.read_seconds, connect=self.policy.connect_seconds),
            verify=ssl_context(),
        )
        body = bytearray()
        try:
            with stream as response:
                for block in response.iter_bytes():
                    body += block
                    if len(body) > _MAX_BYTES:
                        raise FetchError(
                            f"an answer of {response.url.host} has more than {_MAX_BYTES:,} bytes: check the address"
                        )
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.DecodingError) as error:
            raise FetchError(f"{self.name} cannot be reached at {self.address}: {error}") from error
        except httpx.TransportError as error:
            raise PassingError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
        finally:
            self._last = time.monotonic()
        if response.status_code != 200:
            status = f"status {response.status_code} {response.reason_phrase}"
            if response.status_code in _PASSING or response.status_code >= 500:
                raise PassingError(status, retry_after(response.headers.get("Retry-After", "")))
            said = body[:200].decode("utf-8", "replace").strip()
            raise FetchError(f"{self.name} refuses to answer at {self.address}: {status}, {said}; {self.advice}")
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise PassingError(f"the answer is not JSON: {error}, in {bytes(body[:60])!r}") from error
        if not isinstance(answer, dict):
            raise PassingError(f"the answer is {bytes(body[:60])!r} where an object was expected")
        self.check(answer)
        return answer
