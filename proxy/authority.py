"""The deployment's own certificate authority: one PEM file with its private key and its certificate.

While it is being rotated, the file has a second key. The first key signs. All certificates in the file are for clients
to trust, so the same file says what to roll out: see ``docs/tls.md``.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.pem import Pair, TlsFileError, belongs, certificates_in, read_keys
from proxy.policy.values import is_address, normal_host

BACK = timedelta(hours=1)
"""How much earlier than its making a certificate begins, for clients whose clocks are behind."""
_NUMBER = re.compile(r" [0-9a-f]{8}$")
LEAF_DAYS = 30
"""How long a certificate for a destination is good; it is made anew at half of it."""
_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True, slots=True)
class Authority:
    """What an authority file holds."""

    pairs: tuple[Pair, ...]
    """Each key with its own certificate; the first signs, the second is there while the authority is rotated."""
    others: tuple[x509.Certificate, ...] = ()
    """Certificates without a key: of the authorities above an intermediate one."""

    @property
    def signing(self) -> Pair:
        """The key that signs, with its certificate and those above it that clients need to be sent."""
        key, certificate = self.pairs[0].key, self.pairs[0].chain[0]
        chain: list[x509.Certificate] = []
        above: x509.Certificate | None = certificate
        while above is not None and above.issuer != above.subject and above not in chain:
            chain.append(above)
            above = next((other for other in self.others if other.subject == chain[-1].issuer), None)
        return Pair(key, tuple(chain) or (certificate,))

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """What clients are to trust: what has not ended, the signing one first."""
        now = datetime.now(UTC)
        known = [*(pair.chain[0] for pair in self.pairs), *self.others]
        return tuple(certificate for certificate in known if certificate.not_valid_after_utc > now)


def read_authority(path: Path) -> Authority:
    """The authority in a file that only its owner may read. Raises ``TlsFileError``."""
    data, keys = read_keys(path, "authority")
    certificates = certificates_in(data, path)
    pairs: list[Pair] = []
    for key in keys:
        own = next((one for one in certificates if belongs(one, key)), None)
        if own is None:
            raise TlsFileError(path, "a key in it does not belong to any certificate in it")
        if not _may_sign(own):
            raise TlsFileError(path, "the key's certificate is not one of an authority (basicConstraints CA:TRUE)")
        pairs.append(Pair(key, (own,)))
    known = {pair.chain[0] for pair in pairs}
    return Authority(tuple(pairs), tuple(one for one in certificates if one not in known))


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def make(name: str, days: int, limits: x509.NameConstraints | None = None) -> Authority:
    """A new authority, good for ``days``, that may sign for what is within ``limits``."""
    key = ec.generate_private_key(ec.SECP256R1())
    # Two authorities of the same name differ in their key identifiers only, which not every client looks at.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {secrets.token_hex(4)}")])
    builder = _builder(subject, subject, key, datetime.now(UTC) + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if limits is not None:
        builder = builder.add_extension(limits, critical=True)
    return Authority((Pair(key, (builder.sign(key, hashes.SHA256()),)),))


def successor(authority: Authority, days: int, limits: x509.NameConstraints | None = None) -> Authority:
    """A new authority like the one that signs now, within ``limits`` or else the same ones.

    Raises ``ValueError`` where that was itself signed by another.
    """
    old = authority.pairs[0].chain[0]
    if old.issuer != old.subject:
        raise ValueError("the authority above it has to sign its successor")
    name = next((str(part.value) for part in old.subject.get_attributes_for_oid(NameOID.COMMON_NAME)), "Sekisho")
    if limits is None:
        with suppress(x509.ExtensionNotFound):
            limits = old.extensions.get_extension_for_class(x509.NameConstraints).value
    return make(_NUMBER.sub("", name), days, limits)


def limits_to(only: Sequence[str]) -> x509.NameConstraints | None:
    """Names, with those below them, and networks that an authority may sign for; without any, it may for all.

    A kind of name that is not spoken of is free (RFC 5280 4.2.1.10), so the kind without any is excluded whole. Raises
    ``ValueError`` for what is neither.
    """
    if not only:
        return None
    networks: list[x509.GeneralName] = []
    names: list[x509.GeneralName] = []
    for one in only:
        try:
            networks.append(x509.IPAddress(ip_network(one)))
        except ValueError:
            host = normal_host(one.removeprefix("*."))
            if host is None or is_address(host):
                raise ValueError(f"{one} is neither a host name nor a network") from None
            names.append(x509.DNSName(host))
    every = [x509.IPAddress(ip_network(text)) for text in ("0.0.0.0/0", "::/0")]
    excluded: list[x509.GeneralName] = [] if networks else [*every]
    excluded += [] if names else [x509.DNSName("")]
    return x509.NameConstraints([*names, *networks], excluded or None)


def may_sign_for(authority: Pair, host: str) -> bool:
    """Whether its limits let clients believe it on ``host``, a name or an address."""
    try:
        limits = authority.chain[0].extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return True
    name = general_name(host)
    within = [_within(name, each) for each in limits.permitted_subtrees or () if type(each) is type(name)]
    return (not within or any(within)) and not any(_within(name, each) for each in limits.excluded_subtrees or ())


def some_host(authority: Pair) -> str:
    """A host that its limits let it sign for: this machine's loopback address if they let it, else a made-up name or
    the first address of a network that is within them."""
    hosts = ["127.0.0.1", "sekisho.invalid"]
    with suppress(x509.ExtensionNotFound):
        limits = authority.chain[0].extensions.get_extension_for_class(x509.NameConstraints).value
        for one in limits.permitted_subtrees or ():
            if isinstance(one, x509.IPAddress):
                hosts.append(str(ip_network(str(one.value))[0]))
            elif isinstance(one, x509.DNSName):
                hosts.append(f"sekisho.{one.value.removeprefix('.')}")
    return next((host for host in hosts if may_sign_for(authority, host)), hosts[0])


def _within(name: x509.GeneralName, limit: x509.GeneralName) -> bool:
    if isinstance(name, x509.IPAddress) and isinstance(limit, x509.IPAddress):
        address, network = ip_address(str(name.value)), ip_network(str(limit.value))
        return address in network
    if isinstance(name, x509.DNSName) and isinstance(limit, x509.DNSName):
        return not limit.value or f".{name.value}".endswith(f".{limit.value.removeprefix('.')}")
    return False


def general_name(host: str) -> x509.GeneralName:
    """A host name or an address, as certificates have it."""
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host.encode("idna").decode())


def leaf(host: str, key: ec.EllipticCurvePrivateKey, authority: Pair) -> x509.Certificate:
    """A server's certificate for ``host``, a name or an address, that is good for ``LEAF_DAYS`` at most."""
    issuer = authority.chain[0]
    until = min(datetime.now(UTC) + timedelta(days=LEAF_DAYS), issuer.not_valid_after_utc)
    builder = _builder(x509.Name([]), issuer.subject, key, until)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([general_name(host)]), critical=True
    )  # no subject: 4.2.1.6
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage("digital_signature"), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(_issuer_of(issuer), critical=False)
    digest = None if isinstance(authority.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()  # it has its own
    return builder.sign(authority.key, digest)


def _issuer_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """It must be the issuer's own, whichever way that was made (4.2.1.1)."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        public: Any = issuer.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime
) -> x509.CertificateBuilder:
    made = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    return made.not_valid_before(datetime.now(UTC) - BACK).not_valid_after(until)


def _usage(*on: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in on for name in _USAGES})


def prepared(old: Authority, new: Authority) -> Authority:
    """``old`` with the key and certificate that are to follow."""
    return replace(old, pairs=(*old.pairs, *new.pairs))


def switched(authority: Authority) -> Authority:
    """The other key signs."""
    return replace(authority, pairs=authority.pairs[::-1])


def finished(authority: Authority) -> Authority:
    """Only what signs is left."""
    return replace(authority, pairs=authority.pairs[:1])


def pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """Certificates as text."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def write(path: Path, authority: Authority, *, new: bool) -> None:
    """Writes the file whole or not at all. A new one is for its owner alone and must not be there; another one keeps
    whom it is for. Raises ``OSError``."""
    content = b"".join(
        pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem(pair.chain)
        for pair in authority.pairs
    )
    put(path, content + pem(authority.others), new=new)


def put(path: Path, content: bytes, *, new: bool, mode: int = 0o600) -> None:
    """Writes a file whole or not at all: with ``mode``, or as what it replaces. Raises ``OSError``."""
    path = path.resolve()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600 from the start
    made = Path(name)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if not new and path.exists():
                former = path.stat()
                os.fchown(descriptor, former.st_uid, former.st_gid)
                mode = stat.S_IMODE(former.st_mode)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        if new:
            path.hardlink_to(made)  # unlike a renaming, this never takes another file's place
        else:
            made.replace(path)
    finally:
        made.unlink(missing_ok=True)
