"""The one line that lets a party or a person reach a coordinator."""

from __future__ import annotations

import base64
import binascii

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parley.wire.canonical import canonical, parse
from parley.wire.errors import ParleyError
from parley.wire.identity import NAME

PREFIX = "parley-invite:"
MAX_INVITE = 4096


class Invite(BaseModel):
    """Where to go, which authority to expect there, and a token that works once.

    It says whom to reach, not whom to believe: peers are believed by their codes alone.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)  # a newer coordinator may say more
    rest: str = Field(pattern=r"^https://[^/\s]+$")
    grpc: str = Field(pattern=r"^\S+:[0-9]{1,5}$")
    ca: str = Field(pattern=r"^[0-9a-f]{64}$")
    token: str = Field(min_length=16, max_length=512, repr=False)
    name: str = Field(pattern=NAME)

    def to_text(self) -> str:
        return PREFIX + base64.urlsafe_b64encode(canonical(self.model_dump())).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> Invite:
        """ParleyError "bad_invite" for anything but a whole invite line."""
        line = "".join(text.split())
        try:
            if not line.startswith(PREFIX) or len(line) > MAX_INVITE:
                raise ValueError
            raw = line.removeprefix(PREFIX)
            return cls.model_validate(parse(base64.b64decode(raw + "=" * (-len(raw) % 4), b"-_", validate=True)))
        except (ValueError, ValidationError, binascii.Error):
            raise ParleyError(
                "bad_invite", "The invite is not readable.", f"Copy the whole line that starts with {PREFIX}"
            ) from None
