"""Is this party able to work? One line per finding, and what to do about it."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import socket
import time
from pathlib import Path

from parley.party.doctor_machine import Check, disk, isolation, processor, torch_build, versions, volume
from parley.party.enrol import client
from parley.party.files import exposed
from parley.party.home import PartyHome
from parley.wire.errors import ParleyError
from parley.wire.tls import channel_credentials, due, expires

__all__ = ["Check", "checks"]

TIMEOUT_S = 5.0
MAX_SKEW_S = 60.0
STATUS = "status.json"


def checks(home: PartyHome) -> list[Check]:
    """Every look at this home and its machine; the network ones take at most a few seconds each."""
    out = [permissions(home.path), policy(home), ledger(home), versions(), disk(home.path), volume(home.path)]
    out += [processor(), torch_build(), isolation(), listening(home.config.listen)]
    if not home.joined:
        return [*out, Check("coordinator", False, "not joined yet", "Run: parley party join INVITE")]
    return [*out, certificate(home.tls().certificate, failed=renewal_failure(home)), *rest(home), control_link(home)]


def permissions(root: Path) -> Check:
    """No file of the home but the warehouse's own may be open to others; the folder's 0700 shields those."""
    looked = [root, *(p for p in root.iterdir() if p.name != "log"), *(root / "vault").rglob("*")]
    wrong = sorted({p.relative_to(root.parent).parts[-1] for p in looked if exposed(p)})
    detail = "only the owner can read it" if not wrong else f"open to others: {', '.join(wrong[:5])}"
    return Check("permissions", not wrong, detail, "Run chmod -R go= on the home.")


def policy(home: PartyHome) -> Check:
    try:
        return Check("policy", True, f"read, hash {home.policy().hash[:12]}")
    except ParleyError as e:
        return Check("policy", False, e.cause, e.hint)


def ledger(home: PartyHome) -> Check:
    try:
        return Check("ledger", True, f"{home.ledger.verify()} rows, chain intact")
    except ParleyError as e:
        return Check("ledger", False, e.cause, e.hint)


def certificate(pem: bytes, now: dt.datetime | None = None, failed: str = "") -> Check:
    """Days left on the party's certificate; from two thirds of its life on a running daemon has renewed it.

    `failed`: why the daemon has no newer one, in its own words.
    """
    left = (expires(pem) - (now or dt.datetime.now(dt.UTC))).days
    if left < 0:
        return Check("certificate", False, f"expired {-left} days ago", "Ask for a new invite and join again.")
    if not due(pem, now):
        return Check("certificate", True, f"{left} days left, renewed in time by the daemon")
    detail = f"{left} days left, and not renewed: {failed or 'no daemon has asked'}"
    return Check("certificate", False, detail, "The daemon renews it as soon as it runs and is connected.")


def renewal_failure(home: PartyHome) -> str:
    """What the running daemon says of its last attempt to renew; nothing when it says nothing."""
    try:
        found = json.loads((home.path / STATUS).read_bytes()).get("renewal") or {}
    except (OSError, ValueError):
        return ""
    return str(found.get("cause", ""))[:300]


def rest(home: PartyHome) -> list[Check]:
    """The coordinator's REST interface, and how far the two clocks are apart."""
    import httpx

    try:
        with client(home.config.coordinator_rest, home.authority, timeout=TIMEOUT_S) as c:
            before = time.time()
            answer = c.get("/v1/health")
            middle = (before + time.time()) / 2
    except httpx.HTTPError:
        return [Check("rest", False, "not reachable over a verified connection", "Check address and firewalls.")]
    found = [Check("rest", answer.is_success, f"answers with status {answer.status_code}", "Look at its log.")]
    try:
        theirs = email.utils.parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return [*found, Check("clock", True, "the coordinator does not tell its time", advice=True)]
    skew = abs(theirs - middle)
    return [*found, Check("clock", skew <= MAX_SKEW_S, f"{skew:.0f} s apart", "Run a time service (NTP) on both.")]


def control_link(home: PartyHome) -> Check:
    """A mutual TLS handshake with the coordinator's control port."""
    import grpc

    credentials = channel_credentials(home.tls(), home.authority)
    with grpc.secure_channel(home.config.coordinator_grpc, credentials) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=TIMEOUT_S)
        except grpc.FutureTimeoutError:
            hint = "Check its address, firewalls, and that this party's certificate is still valid."
            return Check("control link", False, "no mutual TLS connection", hint)
    return Check("control link", True, "mutual TLS works")


def listening(address: str | None) -> Check:
    """Whether the port for direct routes is taken by the daemon or free for it."""
    if address is None:
        return Check("listen", True, "no direct routes accepted; none is needed")
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_S):
            return Check("listen", True, f"{address} is being listened on")
    except OSError:
        pass  # nobody listens yet: then it must be possible to
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except (OSError, OverflowError):
        return Check("listen", False, f"{address} cannot be listened on", "Choose another port or address.")
    return Check("listen", True, f"{address} is free")
