"""How protocols are written and run: messages, steps, sessions, carriers, the gate."""

from parley.protocols.kit.local import LocalRun, run_local
from parley.protocols.kit.message import Message, array, message
from parley.protocols.kit.protocol import (
    MALICIOUS,
    SEMI_HONEST,
    Cast,
    Flow,
    Protocol,
    Sizes,
    Step,
    StepInputs,
    StepOutputs,
)
from parley.protocols.kit.session import Session, Stream

__all__ = [
    "MALICIOUS",
    "SEMI_HONEST",
    "Cast",
    "Flow",
    "LocalRun",
    "Message",
    "Protocol",
    "Session",
    "Sizes",
    "Step",
    "StepInputs",
    "StepOutputs",
    "Stream",
    "array",
    "message",
    "run_local",
]
