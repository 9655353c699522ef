"""Making a machine someone's: the tags that say so, on the machine and on its home."""

from cloudjhub.ec2_values import Instance
from cloudjhub.fleet import Fleet
from cloudjhub.machine import Plan
from cloudjhub.naming import HOST_KEY_TAG, SHAPE_TAG, has_owner, instance_name, owner_tags

_HOME_LISTED_SECONDS = 60.0


async def make_mine(fleet: Fleet, plan: Plan, machine: Instance, fingerprint: str) -> Instance:
    """Write owner and host key into the tags of the machine and of its new home, in one call.

    Nothing is written where it stands already. Must come before a notebook starts: what has no
    owner counts as blank.
    """
    if has_owner(machine.tags):
        if HOST_KEY_TAG not in machine.tags:
            await fleet.tag([machine.id], {HOST_KEY_TAG: fingerprint})
        return machine
    machine = await _with_its_home_listed(fleet, plan, machine)
    tags = {
        **owner_tags(plan.owner),
        "Name": instance_name(plan.with_home.cluster, plan.owner),
        HOST_KEY_TAG: fingerprint,
    }
    await fleet.tag([machine.id, *filter(None, [machine.home_volume_id])], tags)
    return fleet.view.get(machine.id) or machine


async def _with_its_home_listed(fleet: Fleet, plan: Plan, machine: Instance) -> Instance:
    """EC2 lists the disks of a new machine a little later than the machine."""
    if machine.tags.get(SHAPE_TAG) != plan.with_home.shape or not plan.with_home.home_gib:
        return machine
    await fleet.view.until(
        machine.id,
        lambda seen: seen is not None and seen.home_volume_id is not None,
        what=f"the home volume of {machine.id} to be listed",
        seconds=_HOME_LISTED_SECONDS,
    )
    return fleet.view.get(machine.id) or machine
