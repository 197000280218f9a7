"""The tables of a party's own database."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table, Text

METADATA = MetaData()

jobs = Table(
    "jobs",
    METADATA,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False, index=True),
    Column("spec", LargeBinary, nullable=False),  # canonical JSON
    Column("submitter", Text, nullable=False),  # card, hex text
    Column("signature", LargeBinary, nullable=False),
    Column("offer", Text),  # PartyOffer as JSON
    Column("contract", LargeBinary),  # canonical JSON
    Column("signatures", Text),  # JSON: party -> hex
    Column("problem", Text),  # ParleyError as JSON
)
steps = Table(
    "steps",
    METADATA,
    Column("job", String, primary_key=True),
    Column("step", String, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("fence", Integer, nullable=False),
    Column("state", String, nullable=False),
)
outbox = Table(
    "outbox",
    METADATA,
    Column("n", Integer, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("event", LargeBinary, nullable=False),
    Column("acked", Boolean, nullable=False, default=False, index=True),
)
inbox = Table(
    "inbox", METADATA, Column("id", String, primary_key=True), Column("at", Float, nullable=False, index=True)
)
peers = Table(
    "peers",
    METADATA,
    Column("fingerprint", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False, index=True),
    Column("card", Text, nullable=False),
    Column("pinned", Boolean, nullable=False),
)
vouches = Table(
    "vouches",
    METADATA,
    Column("by", String, primary_key=True),  # fingerprint of the voucher
    Column("fingerprint", String, primary_key=True),
    Column("name", String, nullable=False, index=True),
    Column("vouch", LargeBinary, nullable=False),
    Column("own", Boolean, nullable=False),
)
checkpoints = Table(
    "checkpoints",
    METADATA,
    Column("job", String, primary_key=True),
    Column("step", String, primary_key=True),
    Column("boundary", Integer, primary_key=True),
    Column("item", String, nullable=False),
)
outputs = Table(
    "outputs",
    METADATA,
    Column("job", String, primary_key=True),
    Column("step", String, primary_key=True),
    Column("item", String, nullable=False),
)
approvals = Table(
    "approvals",
    METADATA,
    Column("job", String, primary_key=True),
    Column("state", String, nullable=False),  # pending | approved | denied
    Column("at", Float, nullable=False),
)
settings = Table("settings", METADATA, Column("key", String, primary_key=True), Column("value", Text, nullable=False))
