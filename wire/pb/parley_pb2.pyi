from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Array(_message.Message):
    __slots__ = ("dtype", "shape", "data")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class ValueList(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Value]
    def __init__(self, items: _Optional[_Iterable[_Union[Value, _Mapping]]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: Value
    def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...

class ValueMap(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("none", "boolean", "integer", "real", "text", "raw", "array", "list", "map", "table")
    NONE_FIELD_NUMBER: _ClassVar[int]
    BOOLEAN_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    REAL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    none: bool
    boolean: bool
    integer: int
    real: float
    text: str
    raw: bytes
    array: Array
    list: ValueList
    map: ValueMap
    table: bytes
    def __init__(self, none: _Optional[bool] = ..., boolean: _Optional[bool] = ..., integer: _Optional[int] = ..., real: _Optional[float] = ..., text: _Optional[str] = ..., raw: _Optional[bytes] = ..., array: _Optional[_Union[Array, _Mapping]] = ..., list: _Optional[_Union[ValueList, _Mapping]] = ..., map: _Optional[_Union[ValueMap, _Mapping]] = ..., table: _Optional[bytes] = ...) -> None: ...

class LoopIndex(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: int
    def __init__(self, name: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...

class Address(_message.Message):
    __slots__ = ("job", "attempt", "step", "path", "tag", "sender", "receiver", "seq")
    JOB_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    job: str
    attempt: int
    step: str
    path: _containers.RepeatedCompositeFieldContainer[LoopIndex]
    tag: str
    sender: str
    receiver: str
    seq: int
    def __init__(self, job: _Optional[str] = ..., attempt: _Optional[int] = ..., step: _Optional[str] = ..., path: _Optional[_Iterable[_Union[LoopIndex, _Mapping]]] = ..., tag: _Optional[str] = ..., sender: _Optional[str] = ..., receiver: _Optional[str] = ..., seq: _Optional[int] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("version", "address", "stream", "last", "body")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    version: int
    address: Address
    stream: bool
    last: bool
    body: bytes
    def __init__(self, version: _Optional[int] = ..., address: _Optional[_Union[Address, _Mapping]] = ..., stream: _Optional[bool] = ..., last: _Optional[bool] = ..., body: _Optional[bytes] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("sealed", "end")
    SEALED_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    sealed: bytes
    end: bool
    def __init__(self, sealed: _Optional[bytes] = ..., end: _Optional[bool] = ...) -> None: ...

class Card(_message.Message):
    __slots__ = ("body", "signature")
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    signature: bytes
    def __init__(self, body: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: bytes
    def __init__(self, json: _Optional[bytes] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("party", "card", "version", "declarations", "capacity", "running")
    class DeclarationsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    PARTY_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DECLARATIONS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    party: str
    card: Card
    version: str
    declarations: _containers.ScalarMap[str, bytes]
    capacity: int
    running: _containers.RepeatedCompositeFieldContainer[Running]
    def __init__(self, party: _Optional[str] = ..., card: _Optional[_Union[Card, _Mapping]] = ..., version: _Optional[str] = ..., declarations: _Optional[_Mapping[str, bytes]] = ..., capacity: _Optional[int] = ..., running: _Optional[_Iterable[_Union[Running, _Mapping]]] = ...) -> None: ...

class Running(_message.Message):
    __slots__ = ("job", "step", "attempt")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    job: str
    step: str
    attempt: int
    def __init__(self, job: _Optional[str] = ..., step: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("sent_ms",)
    SENT_MS_FIELD_NUMBER: _ClassVar[int]
    sent_ms: int
    def __init__(self, sent_ms: _Optional[int] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("job", "json")
    JOB_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    job: str
    json: bytes
    def __init__(self, job: _Optional[str] = ..., json: _Optional[bytes] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("job", "problem")
    JOB_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    job: str
    problem: Problem
    def __init__(self, job: _Optional[str] = ..., problem: _Optional[_Union[Problem, _Mapping]] = ...) -> None: ...

class Signed(_message.Message):
    __slots__ = ("job", "contract_hash", "signature")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    job: str
    contract_hash: bytes
    signature: bytes
    def __init__(self, job: _Optional[str] = ..., contract_hash: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Agreed(_message.Message):
    __slots__ = ("job", "contract_hash")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_HASH_FIELD_NUMBER: _ClassVar[int]
    job: str
    contract_hash: bytes
    def __init__(self, job: _Optional[str] = ..., contract_hash: _Optional[bytes] = ...) -> None: ...

class StepProgress(_message.Message):
    __slots__ = ("job", "step", "attempt", "done", "total", "bytes_out", "bytes_in", "phase")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    job: str
    step: str
    attempt: int
    done: int
    total: int
    bytes_out: int
    bytes_in: int
    phase: str
    def __init__(self, job: _Optional[str] = ..., step: _Optional[str] = ..., attempt: _Optional[int] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., bytes_out: _Optional[int] = ..., bytes_in: _Optional[int] = ..., phase: _Optional[str] = ...) -> None: ...

class StepBoundary(_message.Message):
    __slots__ = ("job", "step", "attempt", "boundary")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    job: str
    step: str
    attempt: int
    boundary: int
    def __init__(self, job: _Optional[str] = ..., step: _Optional[str] = ..., attempt: _Optional[int] = ..., boundary: _Optional[int] = ...) -> None: ...

class SealedResult(_message.Message):
    __slots__ = ("reader", "sealed", "sha256")
    READER_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    reader: str
    sealed: bytes
    sha256: bytes
    def __init__(self, reader: _Optional[str] = ..., sealed: _Optional[bytes] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class EgressLine(_message.Message):
    __slots__ = ("to", "tag", "disclosure", "messages", "bytes")
    TO_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    DISCLOSURE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    to: str
    tag: str
    disclosure: str
    messages: int
    bytes: int
    def __init__(self, to: _Optional[str] = ..., tag: _Optional[str] = ..., disclosure: _Optional[str] = ..., messages: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class StepDone(_message.Message):
    __slots__ = ("job", "step", "attempt", "fence", "results", "egress", "outcome", "seconds")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    EGRESS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    job: str
    step: str
    attempt: int
    fence: int
    results: _containers.RepeatedCompositeFieldContainer[SealedResult]
    egress: _containers.RepeatedCompositeFieldContainer[EgressLine]
    outcome: str
    seconds: float
    def __init__(self, job: _Optional[str] = ..., step: _Optional[str] = ..., attempt: _Optional[int] = ..., fence: _Optional[int] = ..., results: _Optional[_Iterable[_Union[SealedResult, _Mapping]]] = ..., egress: _Optional[_Iterable[_Union[EgressLine, _Mapping]]] = ..., outcome: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...

class StepFailed(_message.Message):
    __slots__ = ("job", "step", "attempt", "fence", "problem", "retryable", "egress")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    EGRESS_FIELD_NUMBER: _ClassVar[int]
    job: str
    step: str
    attempt: int
    fence: int
    problem: Problem
    retryable: bool
    egress: _containers.RepeatedCompositeFieldContainer[EgressLine]
    def __init__(self, job: _Optional[str] = ..., step: _Optional[str] = ..., attempt: _Optional[int] = ..., fence: _Optional[int] = ..., problem: _Optional[_Union[Problem, _Mapping]] = ..., retryable: _Optional[bool] = ..., egress: _Optional[_Iterable[_Union[EgressLine, _Mapping]]] = ...) -> None: ...

class Closed(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class Vouch(_message.Message):
    __slots__ = ("body", "signature", "by")
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    signature: bytes
    by: str
    def __init__(self, body: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., by: _Optional[str] = ...) -> None: ...

class Renew(_message.Message):
    __slots__ = ("csr", "signature")
    CSR_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    csr: bytes
    signature: bytes
    def __init__(self, csr: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Certificate(_message.Message):
    __slots__ = ("pem", "problem")
    PEM_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    pem: bytes
    problem: Problem
    def __init__(self, pem: _Optional[bytes] = ..., problem: _Optional[_Union[Problem, _Mapping]] = ...) -> None: ...

class PartyEvent(_message.Message):
    __slots__ = ("id", "hello", "heartbeat", "ack", "offer", "refused", "signed", "agreed", "progress", "boundary", "done", "failed", "closed", "vouch", "renew")
    ID_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    AGREED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    VOUCH_FIELD_NUMBER: _ClassVar[int]
    RENEW_FIELD_NUMBER: _ClassVar[int]
    id: str
    hello: Hello
    heartbeat: Heartbeat
    ack: Ack
    offer: Offer
    refused: Refused
    signed: Signed
    agreed: Agreed
    progress: StepProgress
    boundary: StepBoundary
    done: StepDone
    failed: StepFailed
    closed: Closed
    vouch: Vouch
    renew: Renew
    def __init__(self, id: _Optional[str] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., offer: _Optional[_Union[Offer, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., signed: _Optional[_Union[Signed, _Mapping]] = ..., agreed: _Optional[_Union[Agreed, _Mapping]] = ..., progress: _Optional[_Union[StepProgress, _Mapping]] = ..., boundary: _Optional[_Union[StepBoundary, _Mapping]] = ..., done: _Optional[_Union[StepDone, _Mapping]] = ..., failed: _Optional[_Union[StepFailed, _Mapping]] = ..., closed: _Optional[_Union[Closed, _Mapping]] = ..., vouch: _Optional[_Union[Vouch, _Mapping]] = ..., renew: _Optional[_Union[Renew, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("coordinator", "version", "now_ms", "heartbeat_s")
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NOW_MS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_S_FIELD_NUMBER: _ClassVar[int]
    coordinator: str
    version: str
    now_ms: int
    heartbeat_s: int
    def __init__(self, coordinator: _Optional[str] = ..., version: _Optional[str] = ..., now_ms: _Optional[int] = ..., heartbeat_s: _Optional[int] = ...) -> None: ...

class Prepare(_message.Message):
    __slots__ = ("job", "spec", "submitter", "signature")
    JOB_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SUBMITTER_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    job: str
    spec: bytes
    submitter: Card
    signature: bytes
    def __init__(self, job: _Optional[str] = ..., spec: _Optional[bytes] = ..., submitter: _Optional[_Union[Card, _Mapping]] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Sign(_message.Message):
    __slots__ = ("job", "contract")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    job: str
    contract: bytes
    def __init__(self, job: _Optional[str] = ..., contract: _Optional[bytes] = ...) -> None: ...

class PartySignature(_message.Message):
    __slots__ = ("party", "signature")
    PARTY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    party: str
    signature: bytes
    def __init__(self, party: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Agree(_message.Message):
    __slots__ = ("job", "contract", "signatures")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    job: str
    contract: bytes
    signatures: _containers.RepeatedCompositeFieldContainer[PartySignature]
    def __init__(self, job: _Optional[str] = ..., contract: _Optional[bytes] = ..., signatures: _Optional[_Iterable[_Union[PartySignature, _Mapping]]] = ...) -> None: ...

class Start(_message.Message):
    __slots__ = ("job", "step", "attempt", "fence", "deadline_s", "resume", "boundary")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    job: str
    step: str
    attempt: int
    fence: int
    deadline_s: int
    resume: bool
    boundary: int
    def __init__(self, job: _Optional[str] = ..., step: _Optional[str] = ..., attempt: _Optional[int] = ..., fence: _Optional[int] = ..., deadline_s: _Optional[int] = ..., resume: _Optional[bool] = ..., boundary: _Optional[int] = ...) -> None: ...

class CancelStep(_message.Message):
    __slots__ = ("job", "step", "attempt", "reason")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    job: str
    step: str
    attempt: int
    reason: str
    def __init__(self, job: _Optional[str] = ..., step: _Optional[str] = ..., attempt: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class CloseJob(_message.Message):
    __slots__ = ("job", "state", "reason")
    JOB_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    job: str
    state: str
    reason: str
    def __init__(self, job: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Roster(_message.Message):
    __slots__ = ("cards", "vouches")
    CARDS_FIELD_NUMBER: _ClassVar[int]
    VOUCHES_FIELD_NUMBER: _ClassVar[int]
    cards: _containers.RepeatedCompositeFieldContainer[Card]
    vouches: _containers.RepeatedCompositeFieldContainer[Vouch]
    def __init__(self, cards: _Optional[_Iterable[_Union[Card, _Mapping]]] = ..., vouches: _Optional[_Iterable[_Union[Vouch, _Mapping]]] = ...) -> None: ...

class Instruction(_message.Message):
    __slots__ = ("id", "welcome", "ack", "prepare", "sign", "agree", "start", "cancel", "close", "roster", "problem", "certificate")
    ID_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    PREPARE_FIELD_NUMBER: _ClassVar[int]
    SIGN_FIELD_NUMBER: _ClassVar[int]
    AGREE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    ROSTER_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    id: str
    welcome: Welcome
    ack: Ack
    prepare: Prepare
    sign: Sign
    agree: Agree
    start: Start
    cancel: CancelStep
    close: CloseJob
    roster: Roster
    problem: Problem
    certificate: Certificate
    def __init__(self, id: _Optional[str] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., prepare: _Optional[_Union[Prepare, _Mapping]] = ..., sign: _Optional[_Union[Sign, _Mapping]] = ..., agree: _Optional[_Union[Agree, _Mapping]] = ..., start: _Optional[_Union[Start, _Mapping]] = ..., cancel: _Optional[_Union[CancelStep, _Mapping]] = ..., close: _Optional[_Union[CloseJob, _Mapping]] = ..., roster: _Optional[_Union[Roster, _Mapping]] = ..., problem: _Optional[_Union[Problem, _Mapping]] = ..., certificate: _Optional[_Union[Certificate, _Mapping]] = ...) -> None: ...
