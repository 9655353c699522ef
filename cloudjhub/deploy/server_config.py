"""What /etc/jupyterhub/server_config.json says of a cluster. Pure."""

from typing import Any

from cloudjhub.deploy.settings import Settings
from cloudjhub.naming import key_pair_name


def server_config(
    settings: Settings, *, worker_image_id: str, worker_group_id: str
) -> dict[str, Any]:
    """The keys of cloudjhub.config but WORKER_KEY_FILE, which is the manager's own."""
    keys = {
        "CLUSTER_NAME": settings.cluster_name,
        "REGION": settings.region,
        "WORKER_AMI": worker_image_id,
        "WORKER_INSTANCE_TYPE": settings.worker_instance_type,
        "SUBNET_ID": settings.private_subnet_id,
        "WORKER_SECURITY_GROUPS": [worker_group_id],
        "KEY_NAME": key_pair_name(settings.cluster_name),
        "WORKER_USERNAME": settings.worker_username,
        "NOTEBOOK_USERNAME": settings.notebook_username,
        "WORKER_EBS_SIZE": settings.root_disk_gib,
        "USER_HOME_EBS_SIZE": settings.home_disk_gib,
        "JUPYTER_NOTEBOOK_TIMEOUT": settings.idle_timeout_seconds,
        "SERVER_OWNER": settings.server_owner,
    }
    if settings.endpoint_url:
        keys["EC2_ENDPOINT_URL"] = settings.endpoint_url
    return keys
