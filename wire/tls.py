"""Transport certificates: one small P-256 authority per coordinator, mutual TLS 1.3 between machines.

Guarantee: a link is encrypted and both ends hold a key certified by the pinned authority. Not guaranteed: that the
authority is honest; payloads are sealed end to end, so whoever runs it reads and changes nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from parley.wire.canonical import canonical
from parley.wire.errors import ParleyError

if TYPE_CHECKING:
    import grpc

CA_DAYS = 3650
CERT_DAYS = 90
SKEW = dt.timedelta(minutes=5)
RENEWAL = "renewal/1"  # the context of an identity key's signature under a renewal


@dataclass(frozen=True)
class KeyPair:
    """A private key (PEM, unencrypted; the vault keeps it) and its certificate chain (PEM)."""

    key: bytes
    certificate: bytes

    def __repr__(self) -> str:
        return "KeyPair(...)"


def party_host(name: str) -> str:
    """The DNS name in a party's certificate, used on direct routes."""
    return f"{name}.party.parley"


def new_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def new_authority(name: str, now: dt.datetime | None = None) -> KeyPair:
    now = now or dt.datetime.now(dt.UTC)
    key = new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"parley {name}")])
    private = _private(key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + dt.timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
    )
    certificate = builder.sign(private, hashes.SHA256())
    return KeyPair(key, certificate.public_bytes(serialization.Encoding.PEM))


def request(key: bytes, name: str) -> bytes:
    """A signing request (PEM) for a party's or a coordinator's own key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(_private(key), hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM)


def issue_party(
    authority: KeyPair, csr: bytes, name: str, *, days: float = CERT_DAYS, now: dt.datetime | None = None
) -> bytes:
    """A certificate for a party, good as client and, on direct routes, as server; the name is the issuer's choice."""
    sans: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(f"parley://party/{name}"),
        x509.DNSName(party_host(name)),
    ]
    return _issue(authority, csr, name, sans, days, now)


def issue_server(
    authority: KeyPair,
    csr: bytes,
    hosts: list[str],
    *,
    days: float = CERT_DAYS,
    now: dt.datetime | None = None,
) -> bytes:
    """A certificate for the coordinator under the addresses people and parties dial."""
    sans: list[x509.GeneralName] = [x509.UniformResourceIdentifier("parley://coordinator")]
    for host in hosts:
        try:
            sans.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            sans.append(x509.DNSName(host))
    return _issue(authority, csr, hosts[0], sans, days, now)


def party_of(certificate_pem: bytes) -> str:
    """The party a peer certificate was issued to; ParleyError "bad_certificate"."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = sans.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound):
        uris = []
    for uri in uris:
        if uri.startswith("parley://party/"):
            return uri.removeprefix("parley://party/")
    raise ParleyError("bad_certificate", "The peer's certificate was not issued to a party.")


def pin(certificate_pem: bytes) -> str:
    """SHA-256 of a certificate's DER form, hex: what an invite pins."""
    der = x509.load_pem_x509_certificate(certificate_pem).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def expires(certificate_pem: bytes) -> dt.datetime:
    return x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc


def due(certificate_pem: bytes, now: dt.datetime | None = None) -> bool:
    """Whether two thirds of the certificate's life are over, so that it is time for the next one."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    begun, ended = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (now or dt.datetime.now(dt.UTC)) >= begun + (ended - begun) * 2 / 3


def renewal(name: str, csr: bytes) -> bytes:
    """What a party signs with its identity key to get a certificate for a new transport key."""
    return canonical([name, hashlib.sha256(csr).hexdigest()])


def require_current(certificate_pem: bytes, owner: str, hint: str) -> None:
    """ParleyError "certificate_expired", naming the owner, once the certificate's time is over."""
    if expires(certificate_pem) <= dt.datetime.now(dt.UTC):
        raise _expired(owner, hint)


def refusal(details: str | None, owner: str, hint: str) -> ParleyError | None:
    """Why a handshake failed on the other side's certificate, read from what gRPC says of it; None for another cause.

    "certificate_expired" or "certificate_refused", naming the owner of the certificate.
    """
    said = details or ""
    if "CERTIFICATE_VERIFY_FAILED" not in said:
        return None
    if "certificate has expired" in said:
        return _expired(owner, hint)
    return ParleyError(
        "certificate_refused", f"The certificate of {owner} was not issued by the pinned authority for it.", hint
    )


def _expired(owner: str, hint: str) -> ParleyError:
    return ParleyError("certificate_expired", f"The certificate of {owner} has expired.", hint)


def serial(certificate_pem: bytes) -> str:
    return format(x509.load_pem_x509_certificate(certificate_pem).serial_number, "x")


def server_credentials(pair: KeyPair, authority_pem: bytes) -> grpc.ServerCredentials:
    """Server side of mutual TLS: a client without a certificate of this authority is refused."""
    import grpc

    return grpc.ssl_server_credentials(
        [(pair.key, pair.certificate)], root_certificates=authority_pem, require_client_auth=True
    )


def renewed_server_credentials(current: Callable[[], KeyPair], authority_pem: bytes) -> grpc.ServerCredentials:
    """As `server_credentials`, with the pair that `current` gives before each handshake (on a thread of gRPC's)."""
    import grpc

    def configured() -> grpc.ServerCertificateConfiguration:
        held = current()
        return grpc.ssl_server_certificate_configuration(
            [(held.key, held.certificate)], root_certificates=authority_pem
        )

    return grpc.dynamic_ssl_server_credentials(configured(), configured, require_client_authentication=True)


def channel_credentials(pair: KeyPair, authority_pem: bytes) -> grpc.ChannelCredentials:
    import grpc

    return grpc.ssl_channel_credentials(authority_pem, pair.key, pair.certificate)


def _issue(
    authority: KeyPair,
    csr_pem: bytes,
    common_name: str,
    sans: list[x509.GeneralName],
    days: float,
    now: dt.datetime | None,
) -> bytes:
    now = now or dt.datetime.now(dt.UTC)
    try:
        csr = x509.load_pem_x509_csr(csr_pem)
        good = csr.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        raise ParleyError("bad_certificate_request", "The certificate request cannot be read.") from None
    if not good:
        raise ParleyError("bad_certificate_request", "A certificate request is not signed by its own key.")
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])]))
        .issuer_name(issuer.subject)
        .public_key(csr.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(sans), critical=False)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
            critical=False,
        )
    )
    certificate = builder.sign(_private(authority.key), hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM)


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ParleyError("bad_key", "A transport key is not an elliptic-curve key.")
    return key
