"""Making a machine someone's: the tags that say so, on the machine and on its home."""

from cloudjhub.ec2_values import Instance
from cloudjhub.fleet import Fleet
from cloudjhub.naming import (
    HOST_KEY_TAG,
    USER_TAG,
    Owner,
    has_owner,
    instance_name,
    owner_tags,
    tag_value,
)

_HOME_LISTED_SECONDS = 60.0


async def make_mine(
    fleet: Fleet, owner: Owner, machine: Instance, *, fingerprint: str, born_with_home: bool
) -> Instance:
    """Write owner and host key into the tags of the machine and of its new home, in one call.

    Nothing is written where it stands already. Must come before a notebook starts: what has no
    owner counts as blank. ``born_with_home``: wait until EC2 lists its home volume, a little
    later than the machine. Raises EC2Error, TimedOut.
    """
    if has_owner(machine.tags):
        if HOST_KEY_TAG not in machine.tags:
            await fleet.tag([machine.id], {HOST_KEY_TAG: fingerprint})
        return machine
    if born_with_home:
        await fleet.view.until(
            machine.id,
            lambda seen: seen is not None and seen.home_volume_id is not None,
            what=f"the home volume of {machine.id} to be listed",
            seconds=_HOME_LISTED_SECONDS,
        )
        machine = fleet.view.get(machine.id) or machine
    tags = {
        **owner_tags(owner),
        "Name": instance_name(fleet.cluster, owner),
        HOST_KEY_TAG: fingerprint,
    }
    await fleet.tag([machine.id, *filter(None, [machine.home_volume_id])], tags)
    return fleet.view.get(machine.id) or machine


async def anything_of(fleet: Fleet, user: str) -> bool:
    """Whether any machine or home, as EC2 lists them now, is this user's. Raises EC2Error."""
    await fleet.view.refreshed()
    tags = [machine.tags for machine in fleet.view.all() if machine.state != "terminated"]
    tags += [volume.tags for volume in await fleet.volumes()]
    return any(each.get(USER_TAG) == tag_value(user) for each in tags)
