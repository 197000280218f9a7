"""The one line that lets a party or a person reach a coordinator."""

from __future__ import annotations

import base64
import binascii

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parley.wire.canonical import canonical, parse
from parley.wire.errors import ParleyError
from parley.wire.identity import NAME

PREFIX = "parley-invite:"


class Invite(BaseModel):
    """Where to go, which authority to expect there, and a token that works once.

    It says whom to reach, not whom to believe: peers are believed by their codes alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    rest: str = Field(pattern=r"^https://[^\s]+$", max_length=300)
    grpc: str = Field(max_length=300)
    ca: str = Field(pattern=r"^[0-9a-f]{64}$")
    token: str = Field(max_length=200)
    name: str = Field(pattern=NAME)

    def to_text(self) -> str:
        return PREFIX + base64.urlsafe_b64encode(canonical(self.model_dump())).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> Invite:
        """ParleyError "bad_invite" for anything but a whole invite line."""
        body = text.strip().removeprefix(PREFIX)
        try:
            raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
            return cls.model_validate(parse(raw))
        except (ValueError, binascii.Error, ValidationError):
            raise ParleyError(
                "bad_invite", "The invite cannot be read.", "Paste the whole line that begins with parley-invite:."
            ) from None
