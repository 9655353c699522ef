"""The accounts that machines admit: as the operator says, else as the AMI's distribution has it."""

from cloudjhub.account.images import MachineImage
from cloudjhub.deploy import distributions
from cloudjhub.deploy.findings import Finding, Refused
from cloudjhub.deploy.settings import Settings


def of_image(image: MachineImage | None) -> str:
    """The account that AMIs of its distribution admit; "" where that is not known."""
    distribution = distributions.of_image(image.name) if image else None
    return distribution.login if distribution else ""


def of_server(said: str, image: MachineImage | None) -> str:
    """The manager's login. Raises Refused where nobody says and nobody knows."""
    login = said or of_image(image)
    if not login:
        raise Refused([unknown("SERVER_USERNAME", image)])
    return login


def filled_in(
    settings: Settings, base: MachineImage | None, custom: MachineImage | None = None
) -> Settings:
    """The settings with both logins in them. Raises Refused where one is not to be had.

    Users' machines are made from ``custom`` where there is one. An AMI of one's own may have any
    name; it is taken to be made from the same distribution then.
    """
    server = of_server(settings.server_username, base)
    worker = settings.worker_username or of_image(custom) or of_image(base) or server
    return settings.model_copy(update={"server_username": server, "worker_username": worker})


def unknown(key: str, image: MachineImage | None) -> Finding:
    """Nobody said the login, and the AMI's name does not tell."""
    named = f"{image.id} ({image.name or 'no name'})" if image else "the AMI"
    what = f"is not set, and {named} is none of {distributions.known_titles()}."
    return Finding(what, key, f"Say --{key.lower()} with the account that the AMI admits.")
