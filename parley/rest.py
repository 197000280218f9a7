"""The coordinator's REST interface as people's programs call it: TLS to the pinned authority, bearer token, deadlines.

Guarantee: nothing is sent before the server has shown a certificate of the authority that the invite pinned.
Not guaranteed: that the coordinator tells the truth; what matters is signed by parties and checked by the reader.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 30.0


class Rest:
    """Calls with the pinned authority; errors arrive as the ParleyError the coordinator sent."""

    def __init__(self, base: str, authority: str, bearer: str = "") -> None:
        import httpx

        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        context = ssl.create_default_context(cadata=authority)
        self._base = base
        self._http: httpx.Client = httpx.Client(
            base_url=base, verify=context, headers=headers, timeout=TIMEOUT_S, trust_env=False
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, *, timeout: float = TIMEOUT_S, **query: Any) -> Any:
        return self._call("GET", path, params={k: v for k, v in query.items() if v is not None}, timeout=timeout)

    def post(self, path: str, body: Mapping[str, Any], *, key: str = "") -> Any:
        return self._call("POST", path, json=dict(body), headers={"Idempotency-Key": key} if key else {})

    def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        import httpx

        try:
            response = self._http.request(method, path, **kwargs)
        except httpx.TransportError as e:
            if "CERTIFICATE_VERIFY_FAILED" in str(e):
                raise ParleyError(
                    "wrong_authority", "The server's certificate is not from the pinned authority.",
                    "Check the address, the clock, and that nobody sits in between.",
                ) from None  # fmt: skip
            raise _unreachable(self._base) from None
        if response.is_success:
            return response.json() if "json" in response.headers.get("content-type", "") else response.text
        raise _problem(response)


def _problem(response: httpx.Response) -> ParleyError:
    try:
        return ParleyError.from_dict(response.json()["error"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ParleyError("http_error", f"The coordinator answered with status {response.status_code}.")


def _unreachable(base: str) -> ParleyError:
    return ParleyError(
        "coordinator_unreachable",
        f"Nobody answers at {base}.",
        "Check that the coordinator runs and that this address can be reached from here.",
        retryable=True,
    )
