"""Whether AWS knows who asks."""

from cloudjhub.deploy.checks.world import World
from cloudjhub.deploy.findings import Finding
from cloudjhub.errors import EC2Error, EC2Unreachable, NotPermitted


def check(world: World) -> list[Finding]:
    """Nothing else can be asked where this finds something."""
    try:
        arn = world.identity.arn
    except EC2Unreachable as error:
        where = f"REGION {world.settings.region}"
        return [Finding(error.message, where, error.remedy)]
    except (NotPermitted, EC2Error) as error:
        return [Finding(error.message, "credentials", error.remedy)]
    if arn.endswith(":root"):
        remedy = "Make an IAM user or role with the operator's policy of docs/install.md."
        return [Finding("belong to the account's root user.", "credentials", remedy, "note")]
    return []
