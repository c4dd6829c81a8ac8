"""A certificate authority of the tests, and servers' certificates by it."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """Signs servers' certificates; `ca_file` is what its clients are given."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"{name} of the tests")
        can_sign = x509.BasicConstraints(ca=True, path_length=None)
        subject = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        # Python 3.13 asks for the identifiers, and for what the key is used for.
        self._issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject)
        own = _certificate(self._name, self._name, self._key).add_extension(can_sign, critical=True)
        own = own.add_extension(subject, critical=False).add_extension(self._issuer, critical=False)
        own = own.add_extension(_SIGNS, critical=True)
        self.ca_file = directory / f"{name}.pem"
        self.ca_file.write_bytes(_pem(own.sign(self._key, hashes.SHA256())))

    def issue(self, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """Make the certificate and key of a server at this IP address; their files."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.IPAddress(ipaddress.ip_address(address))
        made = (
            _certificate(_named("a server of the tests"), self._name, key)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(self._issuer, critical=False)
        )
        certificate, private = self._directory / "server.pem", self._directory / "server.key"
        certificate.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
