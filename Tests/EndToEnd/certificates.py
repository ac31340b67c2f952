"""Makes certificates: authorities, and what they issue to servers and clients, as PEM files."""

import dataclasses
import datetime
import ipaddress
import os
import pathlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclasses.dataclass
class Certificate:
    """The paths of a certificate and of its key, which only its owner can read."""

    certificate: pathlib.Path
    key: pathlib.Path


class Authority:
    """A certificate authority whose files are written to `directory`."""

    def __init__(self, directory: pathlib.Path, name: str = "Authority"):
        self.directory = directory
        self.name = name
        self.private = ec.generate_private_key(ec.SECP256R1())
        subject = _named(f"{name} of the tests")
        self.root = self._sign(subject, self.private, [_is_authority(True)], days=(-1, 30))
        self.file = directory / f"{name}.crt"
        self.file.write_bytes(self.root.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        file: str,
        names: list[str] | None = None,
        common_name: str = "localhost",
        expired: bool = False,
        algorithm: hashes.HashAlgorithm | None = None,
    ) -> Certificate:
        """Issues a certificate for `names` (host names and addresses), good today unless `expired`."""
        private = ec.generate_private_key(ec.SECP256R1())
        extensions = [_is_authority(False)]
        if names:
            extensions.append((x509.SubjectAlternativeName([_alternative(n) for n in names]), False))
        issued = self._sign(
            _named(common_name), private, extensions,
            days=(-10, -2) if expired else (-1, 30), algorithm=algorithm,
        )
        return _write(self.directory, file, issued, private)

    def _sign(self, subject, private, extensions, days, algorithm=None):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.root.subject if hasattr(self, "root") else subject)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.private, algorithm or hashes.SHA256())


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> pathlib.Path:
    """Where the certificates of a module's tests are."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(files) -> Authority:
    return Authority(files)


@pytest.fixture(scope="module")
def good(authority) -> Certificate:
    """What a server should show."""
    return authority.issue("good", ["localhost", "127.0.0.1"])


def from_nowhere(directory: pathlib.Path, file: str, names: list[str]) -> Certificate:
    """A certificate that no authority known to anybody else vouches for."""
    return Authority(directory, f"{file}-unknown").issue(file, names)


def _named(common_name: str) -> x509.Name:
    return x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Mynah's tests"),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _is_authority(value: bool):
    return x509.BasicConstraints(ca=value, path_length=None), True


def _write(directory, file, issued, private) -> Certificate:
    made = Certificate(directory / f"{file}.crt", directory / f"{file}.key")
    made.certificate.write_bytes(issued.public_bytes(serialization.Encoding.PEM))
    handle = os.open(made.key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as key:
        key.write(private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ))
    return made
