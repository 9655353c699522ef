"""Wrong keys and files of a launch each give their sentence, and nothing is made."""

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from deploy.certificates import certificate
from deploy.looking import error, findings
from deploy.networks import Account

from cloudjhub.deploy import key_file
from cloudjhub.deploy.findings import errors_among

# -- keys


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """An ed25519 key that EC2 does not know."""
    return written(tmp_path / "other.pem", ed25519.Ed25519PrivateKey.generate())


def written(path: Path, key: object, password: bytes = b"") -> Path:
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    content = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, encryption
    )
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def test_a_key_pair_that_does_not_exist(account: Account):
    found = error(account, KEY_NAME="mine")
    assert found.where == "KEY_NAME mine" and "no such key pair in us-east-1" in found.what


def test_no_key_pair_and_no_file(account: Account):
    found = errors_among(findings(account, KEY_NAME="", KEY_PATH=""))
    assert [each.where for each in found] == ["KEY_NAME", "KEY_PATH"]


def test_a_private_key_that_is_not_the_other_half(account: Account, pem: Path):
    assert "is not the private half of cloudjhub-local" in error(account, KEY_PATH=str(pem)).what


def test_a_private_key_file_that_is_not_there(account: Account, tmp_path: Path):
    assert error(account, KEY_PATH=str(tmp_path / "none.pem")).what == "there is no such file."


def test_a_file_that_holds_no_key(account: Account, tmp_path: Path):
    path = tmp_path / "text"
    path.touch(mode=0o600)
    assert error(account, KEY_PATH=str(path)).what == "holds no private key."


def test_a_key_with_a_passphrase(account: Account, tmp_path: Path):
    key = ed25519.Ed25519PrivateKey.generate()
    path = written(tmp_path / "locked.pem", key, b"secret")
    assert "passphrase" in error(account, KEY_PATH=str(path)).what


def test_a_private_key_that_others_may_read(account: Account, tmp_path: Path):
    path = tmp_path / "open.pem"
    path.write_bytes(Path(account.config["WORKER_KEY_FILE"]).read_bytes())
    os.chmod(path, 0o644)
    found = error(account, KEY_PATH=str(path))
    assert "0644" in found.what and f"chmod 600 {path}" in found.remedy
    changes = {"KEY_PATH": str(path), "IGNORE_PERMISSIONS": "true"}
    assert not errors_among(findings(account, **changes))


@pytest.mark.parametrize("made_by", ["us", "EC2"])
def test_rsa_keys_by_fingerprint(made_by: str):
    # Fingerprints of EC2's documentation, computed with openssl: MD5 of the public half where
    # the key was imported, SHA-1 of the private one where EC2 made it.
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    digest = openssl_fingerprint(key, made_by)
    assert key_file.belongs_to(key, "", digest)
    assert not key_file.belongs_to(other, "", digest)


def openssl_fingerprint(key: rsa.RSAPrivateKey, made_by: str) -> str:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    convert, digest = (
        (["openssl", "rsa", "-pubout", "-outform", "DER"], "md5")
        if made_by == "us"
        else (["openssl", "pkcs8", "-nocrypt", "-topk8", "-outform", "DER"], "sha1")
    )
    der = subprocess.run(convert, input=pem, capture_output=True, check=True).stdout
    shown = subprocess.run(
        ["openssl", "dgst", f"-{digest}", "-c"], input=der, capture_output=True, check=True
    ).stdout
    return shown.decode().split()[-1]


def test_ed25519_keys_by_fingerprint(tmp_path: Path):
    key = ed25519.Ed25519PrivateKey.generate()
    path = written(tmp_path / "key", key)
    command = ["ssh-keygen", "-l", "-E", "sha256", "-f", str(path)]
    line = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    shown = line.split()[1].removeprefix("SHA256:")
    assert key_file.belongs_to(key, "", f"{shown}=")


# -- files, HTTPS, login


def test_a_good_certificate(account: Account, tmp_path: Path):
    crt, key = certificate(tmp_path, days=90)
    found = findings(account, CERTIFICATE_FILE=crt, CERTIFICATE_KEY_FILE=key)
    assert not errors_among(found) and not [each for each in found if each.where == "HTTPS"]


def test_a_certificate_that_has_expired(account: Account, tmp_path: Path):
    crt, key = certificate(tmp_path, days=-1)
    assert "ended on" in error(account, CERTIFICATE_FILE=crt, CERTIFICATE_KEY_FILE=key).what


def test_a_certificate_with_another_key(account: Account, tmp_path: Path):
    crt, _ = certificate(tmp_path, days=90)
    _, key = certificate(tmp_path, days=90, name="other")
    found = error(account, CERTIFICATE_FILE=crt, CERTIFICATE_KEY_FILE=key)
    assert "not the certificate's" in found.what


def test_a_certificate_without_its_key(account: Account, tmp_path: Path):
    crt, _ = certificate(tmp_path, days=90)
    assert error(account, CERTIFICATE_FILE=crt).where == "CERTIFICATE_KEY_FILE"


def test_files_that_are_not_there(account: Account):
    for key in ("USERLIST", "WORKER_REQUIREMENTS", "HUB_CONFIG"):
        found = error(account, **{key: "/none/such"})
        assert found.where == f"{key} /none/such" and "No such file" in found.what


def test_a_userlist_with_a_wrong_line(account: Account, tmp_path: Path):
    path = tmp_path / "userlist"
    path.write_text("ada admin\nbob the builder\n")
    (found,) = errors_among(findings(account, USERLIST=str(path)))
    assert "line 2" in found.what


def test_a_userlist_without_an_admin(account: Account, tmp_path: Path):
    path = tmp_path / "userlist"
    path.write_text("ada\n")
    assert error(account, USERLIST=str(path)).what == "names no admin."


def test_a_database_that_is_none(account: Account):
    found = error(account, DB_URL="mysql://ada:s3cret@db/hub")
    assert found.where == "DB_URL" and "s3cret" not in str(found)


def test_github_without_its_values(account: Account, tmp_path: Path):
    path = tmp_path / "userlist"
    path.write_text("ada admin\n")
    found = errors_among(findings(account, AUTHENTICATOR="github", USERLIST=str(path)))
    assert [each.where for each in found] == ["GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET"]


def test_an_authenticator_of_ones_own_without_its_file(account: Account):
    assert error(account, AUTHENTICATOR="own").where == "HUB_CONFIG"


def test_a_domain_without_an_email(account: Account):
    found = errors_among(findings(account, DOMAIN="hub.invalid"))
    assert [each.where for each in found] == ["EMAIL"]


def test_ssh_from_something_that_is_no_network(account: Account):
    assert "host bits set" in error(account, SSH_FROM="192.0.2.7/24").what


# -- text


@pytest.mark.parametrize("key", ["WORKER_REQUIREMENTS", "HUB_CONFIG"])
def test_a_file_that_is_no_text(account: Account, tmp_path: Path, key: str):
    path = tmp_path / "latin"
    path.write_bytes("# für alle\n".encode("latin-1"))
    assert "is not text in UTF-8" in error(account, **{key: str(path)}).what


@pytest.mark.parametrize(
    "line",
    [
        "-r more.txt",
        "--constraint=limits.txt",
        "-e .",
        "--editable ../ours",
        "./ours",
        "ours @ file:///srv/ours",
        "wheels/ours-1.0-py3-none-any.whl",
        "--find-links wheels",
    ],
)
def test_a_requirement_that_the_builder_cannot_reach(account: Account, tmp_path: Path, line: str):
    path = tmp_path / "requirements.txt"
    path.write_text(f"numpy\n{line}\n")
    found = error(account, WORKER_REQUIREMENTS=str(path))
    assert line in found.what and found.where.endswith("line 2")


def test_requirements_that_the_builder_can_reach(account: Account, tmp_path: Path):
    path = tmp_path / "requirements.txt"
    path.write_text(
        "# not ./ours\nnumpy>=2  # see ./notes\n\n-r https://example.edu/more.txt\n"
        "ours @ git+https://example.edu/ours.git\ntheirs @ https://example.edu/theirs-1.zip\n"
        "--extra-index-url https://example.edu/simple\n"
    )
    assert not errors_among(findings(account, WORKER_REQUIREMENTS=str(path)))
