"""Asking a web API: one question at a time, not too fast, again after passing faults, and never the same one twice."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from sketchdata.errors import FetchError
from sketchdata.fetch import FetchPolicy, retry_after, ssl_context
from sketchdata.manifest import replacing

Answer = dict[str, Any]

#: The longest real pages have a few hundred kilobytes.
_MAX_BYTES = 16 << 20
_PASSING = (408, 425, 429)


class PassingError(Exception):
    """The API cannot answer now, and may in a while: after `retry_after` seconds, if it says so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True)
class Api:
    """Where an API is, and how it wants to be asked.

    Attributes:
        name: What people call it.
        address: Where questions go.
        user_agent: Who asks.
        pause: Seconds between two questions at least.
        headers: Sent with each question; they may hold a secret.
        secret: Parameters that are sent with each question and kept nowhere.
        advice: What to do when it refuses us.
        judge: Looks at an answer, and raises PassingError or FetchError when it is one only in form. What it returns
            does not matter.
    """

    name: str
    address: str
    user_agent: str
    pause: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    advice: str = "check the address"
    judge: Callable[[Answer], object] = bool


class Answers:
    """The answers of one API, each of which is kept in a folder as soon as it is there.

    Args:
        api: Who is asked.
        folder: Where answers are kept, so that a run that was stopped goes on where it was.
        policy: How patient to be.
    """

    def __init__(self, api: Api, folder: Path, policy: FetchPolicy) -> None:
        self.api, self.folder, self.policy = api, folder, policy
        self._last = -float("inf")

    def ask(self, question: Mapping[str, str]) -> Answer:
        """Return the answer to a question's parameters.

        Raises:
            FetchError: There is none after every try, it is refused, or it comes too late to wait for.
        """
        path = self._kept(question)
        try:
            answer: Answer = orjson.loads(path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            answer = self._ask_until_answered(question)
            with replacing(path) as file:
                file.write(orjson.dumps(answer))
        return answer

    def _kept(self, question: Mapping[str, str]) -> Path:
        asked = orjson.dumps([self.api.address, sorted(question.items())])
        return self.folder / self.api.name / f"{hashlib.sha256(asked).hexdigest()[:32]}.json"

    def _ask_until_answered(self, question: Mapping[str, str]) -> Answer:
        for failures in range(1, self.policy.tries + 1):
            try:
                return self._ask_once(question)
            except PassingError as fault:
                if failures == self.policy.tries:
                    raise FetchError(
                        f"{self.api.name} gave no answer in {failures} tries; the last time: {fault}. What was found "
                        "is kept, and the same command goes on from there"
                    ) from fault
                self._wait(fault, failures)
        raise AssertionError("every try ends in an answer or an error")

    def _wait(self, fault: PassingError, failures: int) -> None:
        asked = fault.retry_after or 0.0
        if asked > self.policy.longest_retry_after:
            raise FetchError(
                f"{self.api.name} wants to be asked again in {asked / 60:,.0f} minutes at the earliest ({fault}). "
                "What was found is kept: run the same command then"
            ) from fault
        time.sleep(max(asked, min(self.policy.longest_pause, self.policy.pause_seconds * 2 ** (failures - 1))))

    def _ask_once(self, question: Mapping[str, str]) -> Answer:
        time.sleep(max(0.0, self._last + self.api.pause - time.monotonic()))
        try:
            with self._request({**question, **self.api.secret}) as response:
                body = _read(response)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.DecodingError) as error:
            raise FetchError(f"{self.api.name} cannot be asked at {self.api.address}: {error}") from error
        except httpx.TransportError as error:
            raise PassingError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
        finally:
            self._last = time.monotonic()
        if response.status_code != 200:
            self._refuse(response, body)
        answer = _parse(body)
        self.api.judge(answer)
        return answer

    def _request(self, parameters: Mapping[str, str]) -> AbstractContextManager[httpx.Response]:
        # A connection a question, since with the pause between them a server need not keep one open for us.
        return httpx.stream(
            "GET",
            self.api.address,
            params=parameters,
            headers={"User-Agent": self.api.user_agent, "Accept": "application/json", **self.api.headers},
            timeout=httpx.Timeout(self.policy.read_seconds, connect=self.policy.connect_seconds),
            verify=ssl_context(),
        )

    def _refuse(self, response: httpx.Response, body: bytes) -> None:
        status = f"status {response.status_code} {response.reason_phrase}"
        if response.status_code in _PASSING or response.status_code >= 500:
            raise PassingError(status, retry_after(response))
        said = body[:200].decode("utf-8", "replace").strip()
        raise FetchError(
            f"{self.api.name} refuses to answer at {self.api.address}: {status}, {said}; {self.api.advice}"
        )


def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    for block in response.iter_bytes():
        body += block
        if len(body) > _MAX_BYTES:
            raise FetchError(f"an answer of {response.url.host} has more than {_MAX_BYTES:,} bytes: check the address")
    return bytes(body)


def _parse(body: bytes) -> Answer:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise PassingError(f"the answer is no JSON: {error}, in {body[:60]!r}") from error
    if not isinstance(answer, dict):
        raise PassingError(f"the answer is {body[:60]!r} where an object was expected")
    return answer
