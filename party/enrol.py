"""Reaching a coordinator for the first time: the invite, its pinned authority, verified calls afterwards."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from parley.wire.errors import ParleyError
from parley.wire.invite import Invite
from parley.wire.tls import pin

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 15.0
MAX_CERTIFICATE = 64 << 10
MAX_ANSWER = 32 << 20


def fetch_authority(invite: Invite, timeout: float = TIMEOUT_S) -> bytes:
    """The coordinator's authority (PEM, one certificate), accepted only if it has the invite's SHA-256.

    ParleyError "wrong_authority", "coordinator_unreachable".
    """
    # Nothing can be verified before the authority is known, and nothing secret is sent here: the connection only
    # carries a public certificate to us, and the hash in the invite, not the connection, says whether it is right.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    url = urlsplit(invite.rest)
    try:
        link = http.client.HTTPSConnection(url.hostname or "", url.port or 443, timeout=timeout, context=context)
        try:
            link.request("GET", "/v1/ca")
            raw = link.getresponse().read(MAX_CERTIFICATE)
        finally:
            link.close()
    except (OSError, http.client.HTTPException, ValueError):
        raise unreachable() from None
    return accept_authority(raw, invite.ca)


def accept_authority(raw: bytes, expected: str) -> bytes:
    """The pinned certificate out of `raw`, and no other that may stand beside it."""
    try:
        certificate = x509.load_pem_x509_certificate(raw)
        found = pin(raw)
    except ValueError:
        found = ""
    if found != expected:
        raise ParleyError(
            "wrong_authority",
            "The coordinator shows another authority than the invite pins.",
            "Somebody may sit in between; get a fresh invite over another way.",
        )
    return certificate.public_bytes(serialization.Encoding.PEM)


def client(rest: str, authority: bytes, bearer: str | None = None, timeout: float = TIMEOUT_S) -> httpx.Client:
    """An HTTP client that verifies the coordinator against the pinned authority and nothing else."""
    import httpx

    context = ssl.create_default_context(cadata=authority.decode("ascii"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    return httpx.Client(base_url=rest, verify=context, headers=headers, timeout=timeout, trust_env=False)


def call(http_client: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One JSON call; an error answer is raised as the ParleyError it carries."""
    import httpx

    try:
        answer = http_client.request(method, path, json=body)
        if len(answer.content) > MAX_ANSWER:
            raise ValueError
        document = answer.json()
    except httpx.HTTPError:
        raise unreachable() from None
    except ValueError:
        raise ParleyError("bad_answer", "The coordinator's answer is not readable.", retryable=True) from None
    if not isinstance(document, dict):
        raise ParleyError("bad_answer", "The coordinator's answer is not readable.")
    error = document.get("error")
    if answer.is_error or isinstance(error, dict):
        raise ParleyError.from_dict(error if isinstance(error, dict) else {"code": f"http_{answer.status_code}"})
    return document


def unreachable() -> ParleyError:
    return ParleyError(
        "coordinator_unreachable",
        "The coordinator cannot be reached over a verified connection.",
        "Check its address, that it runs, and firewalls in between.",
        retryable=True,
    )
