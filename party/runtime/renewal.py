"""A certificate's next one, asked for over the link while the present one is still good."""

from __future__ import annotations

import time

from parley.party.home import PartyHome
from parley.party.identity import check_certificate
from parley.party.runtime.desk import log
from parley.wire import tls
from parley.wire.canonical import parse
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

LOOK_S = 60.0


class Renewal:
    """From two thirds of the certificate's life on it asks, once a minute, until it has the next one.

    The transport key is a new one each time; the identity key stays, and signs for it. `problem` is why there is no
    next certificate though it is time for one.
    """

    def __init__(self, home: PartyHome) -> None:
        self._home = home
        self._next, self._key = 0.0, b""
        self.problem: ParleyError | None = None

    def ask(self) -> pb.PartyEvent | None:
        """What to send to the coordinator now, if anything."""
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + LOOK_S
        if not tls.due(self._home.tls().certificate):
            return None
        name, self._key = self._home.name, tls.new_key()
        csr = tls.request(self._key, name)
        self.problem = self.problem or ParleyError(
            "renewal_unanswered", "The coordinator has not answered a renewal yet.", "Look at its log and version."
        )
        return pb.PartyEvent(
            renew=pb.Renew(csr=csr, signature=self._home.sign_key.sign(tls.renewal(name, csr), tls.RENEWAL))
        )

    def take(self, answer: pb.Certificate) -> bool:
        """Keep a certificate that is for the key asked for; whether there is a new one."""
        home, key = self._home, self._key
        try:
            if answer.problem.json or not key:
                raise _told(answer.problem.json)
            check_certificate(answer.pem, key, home.authority, home.name)
        except ParleyError as problem:
            self.problem = problem
            log.warning("renewal_failed code=%s cause=%s", problem.code, problem.cause)
            return False
        home.set_membership(tls.KeyPair(key, answer.pem), home.authority, home.bearer)
        self._key, self.problem = b"", None
        log.info("certificate_renewed until=%s", tls.expires(answer.pem).date().isoformat())
        return True


def _told(raw: bytes) -> ParleyError:
    try:
        return ParleyError.from_dict(dict(parse(raw)))
    except (ValueError, TypeError):
        return ParleyError("renewal_refused", "The coordinator refused a renewal without a readable reason.")
