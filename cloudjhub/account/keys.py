"""EC2 key pairs."""

from dataclasses import dataclass, field

from cloudjhub.account.filters import matching, tag_specification
from cloudjhub.aws import Service
from cloudjhub.ec2_values import Tags, tags_from


@dataclass(frozen=True)
class KeyPair:
    """One key pair, as EC2 knows it."""

    name: str
    kind: str  # rsa or ed25519
    fingerprint: str
    public_key: str = ""  # OpenSSH line; "" where EC2 does not give it
    tags: Tags = field(default_factory=dict)


def named(ec2: Service, name: str) -> KeyPair | None:
    """None where there is none in this region."""
    filters = [matching("key-name", name)]
    answer = ec2.ask("describe_key_pairs", Filters=filters, IncludePublicKey=True)
    for raw in answer["KeyPairs"]:
        return KeyPair(
            name=raw["KeyName"],
            kind=raw.get("KeyType", "rsa"),
            fingerprint=raw.get("KeyFingerprint", ""),
            public_key=raw.get("PublicKey", ""),
            tags=tags_from(raw),
        )
    return None


def import_public(ec2: Service, name: str, public_key: str, tags: dict[str, str]) -> None:
    """EC2 learns the public half; new machines can admit it then."""
    ec2.ask(
        "import_key_pair",
        KeyName=name,
        PublicKeyMaterial=public_key.encode(),
        TagSpecifications=[tag_specification("key-pair", tags)],
    )


def delete(ec2: Service, name: str) -> None:
    """EC2 forgets it; machines that admit it already go on doing so."""
    ec2.ask("delete_key_pair", KeyName=name)
