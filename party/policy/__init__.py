"""What this party agrees to: one commented file, read again for every job and every egress."""

from parley.party.policy.approval import approve, deny, waiting
from parley.party.policy.document import PolicyDocument
from parley.party.policy.policy import Policy, Verdict

__all__ = ["Policy", "PolicyDocument", "Verdict", "approve", "deny", "waiting"]
