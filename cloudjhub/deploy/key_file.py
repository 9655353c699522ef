"""Private key files, compared with what EC2 knows of a key pair.

Fingerprints:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/verify-keys.html
"""

import base64
import hashlib
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

PrivateKey = Ed25519PrivateKey | RSAPrivateKey

_DER = serialization.Encoding.DER


def read(path: Path) -> PrivateKey:
    """The key of a PEM or OpenSSH file. ValueError says what is wrong with it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    loads = (serialization.load_ssh_private_key, serialization.load_pem_private_key)
    for load in loads:
        try:
            key = load(content, password=None)
        except TypeError as error:
            raise ValueError("has a passphrase; make a copy without one") from error
        except (ValueError, UnsupportedAlgorithm):
            continue
        if isinstance(key, PrivateKey):
            return key
        raise ValueError("holds neither an RSA nor an ed25519 key, the only kinds of EC2")
    raise ValueError("holds no private key")


def belongs_to(key: PrivateKey, public_key: str, fingerprint: str) -> bool:
    """Whether this is the other half of a key pair.

    ``public_key``, an OpenSSH line, decides where EC2 gives it; else the fingerprint does, of
    which EC2 has three kinds.
    """
    blob = _public_blob(key)
    if public_key:
        parts = public_key.split()
        return len(parts) > 1 and parts[1] == base64.b64encode(blob).decode()
    return _plain(fingerprint) in {_plain(each) for each in fingerprints(key)}


def fingerprints(key: PrivateKey) -> set[str]:
    """Every form in which EC2 may show this key's fingerprint."""
    sha256 = hashlib.sha256(_public_blob(key)).digest()
    found = {base64.b64encode(sha256).decode(), sha256.hex()}
    if isinstance(key, RSAPrivateKey):
        public = key.public_key().public_bytes(
            _DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        private = key.private_bytes(
            _DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # Imported into EC2: MD5 of the public half. Made by EC2: SHA-1 of the private one.
        found.add(hashlib.md5(public, usedforsecurity=False).hexdigest())
        found.add(hashlib.sha1(private, usedforsecurity=False).hexdigest())
    return found


def _public_blob(key: PrivateKey) -> bytes:
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return base64.b64decode(line.split()[1])


def _plain(fingerprint: str) -> str:
    return fingerprint.removeprefix("SHA256:").replace(":", "").rstrip("=")
