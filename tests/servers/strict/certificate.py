"""A certificate authority for one server, made when the server starts."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

_DAY = dt.timedelta(days=1)


class Certificate(NamedTuple):
    """Files: the authority that clients must trust, and the server's chain with its key."""

    authority: Path
    chain: Path

    @classmethod
    def made(cls, folder: Path, host: str) -> Certificate:
        """Make both for *host*, good for a day, in *folder*."""
        now = dt.datetime.now(dt.UTC)
        authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

        def name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        def begun(subject: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> x509.CertificateBuilder:
            builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("Test authority"))
            builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
            builder = builder.not_valid_before(now - _DAY).not_valid_after(now + _DAY)
            return builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)

        authority = begun("Test authority", authority_key, is_authority=True).sign(authority_key, hashes.SHA256())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host)), x509.DNSName("localhost")])
        server = begun(host, server_key, is_authority=False).add_extension(names, critical=False)
        pem = serialization.Encoding.PEM
        key = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        files = cls(folder / "authority.pem", folder / "server.pem")
        files.authority.write_bytes(authority.public_bytes(pem))
        files.chain.write_bytes(server.sign(authority_key, hashes.SHA256()).public_bytes(pem) + key)
        return files

    def context(self) -> ssl.SSLContext:
        """What a server needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain)
        return context
