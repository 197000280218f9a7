"""The relay's admission: a pipe that is registered while its attempt ends."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from parley.coordinator.drivers import relay
from parley.coordinator.drivers.hub import Timing
from parley.wire import tls


class Aborted(Exception):
    """What gRPC raises in a handler that aborts."""


class Context:
    """The call of a party with a certificate of its own."""

    def __init__(self, party: str) -> None:
        authority, key = tls.new_authority("c"), tls.new_key()
        self._pem = tls.issue_party(authority, tls.request(key, party), party)
        self.said: tuple[Any, str] | None = None

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_pem_cert": [self._pem]}

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ("parley-job", "j"), ("parley-step", "one"), ("parley-attempt", "1"), ("parley-peer", "shop")

    async def abort(self, code: Any, details: str) -> None:
        self.said = (code, details)
        raise Aborted


class Hub:
    """As much of a hub as the relay asks; `over` ends the attempt between two looks at it."""

    def __init__(self, looks: list[bool]) -> None:
        self.db, self.timing, self._looks = None, Timing(join=0.3), looks
        self.on_attempt_over: Any = None

    async def store(self, f: Any, *args: Any) -> Any:
        if f is not relay.schedule.may_pipe:
            return None
        found = self._looks.pop(0)
        if found and self._looks:
            self.on_attempt_over(("j", "one", 1))  # as soon as it was looked at: no pipe is there yet
        return found


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ([False], (grpc.StatusCode.PERMISSION_DENIED, "stale_attempt")),
        ([True, False], (grpc.StatusCode.PERMISSION_DENIED, "stale_attempt")),
        ([True, True], (grpc.StatusCode.DEADLINE_EXCEEDED, "peer_absent")),
    ],
)
def test_an_attempt_that_ends_while_its_pipe_is_registered_keeps_no_pipe(looks: list[bool], said: Any) -> None:
    async def body() -> None:
        context = Context("bank")
        served = relay.Relay(Hub(looks))  # type: ignore[arg-type]  # the part of it that is used
        with pytest.raises(Aborted):
            await served.pipe(None, context)  # type: ignore[arg-type]  # nothing is read before both are there
        assert (context.said, looks, served._pipes) == (said, [], {})

    asyncio.run(asyncio.wait_for(body(), 20))
