"""What /etc/jupyterhub/server_config.json says of a cluster. Pure."""

from typing import Any

from cloudjhub.deploy.settings import Settings
from cloudjhub.deploy.supply import one_or_list
from cloudjhub.naming import key_pair_name


def server_config(
    settings: Settings, *, worker_image_id: str, worker_group_id: str
) -> dict[str, Any]:
    """The keys of cloudjhub.config but WORKER_KEY_FILE, which is the manager's own."""
    keys = {
        "CLUSTER_NAME": settings.cluster_name,
        "REGION": settings.region,
        "WORKER_AMI": worker_image_id,
        "WORKER_INSTANCE_TYPE": one_or_list(settings.worker_instance_types),
        "SUBNET_ID": one_or_list(settings.private_subnet_ids),
        "WORKER_SECURITY_GROUPS": [worker_group_id],
        "KEY_NAME": key_pair_name(settings.cluster_name),
        "WORKER_USERNAME": settings.worker_username,
        "NOTEBOOK_USERNAME": settings.notebook_username,
        "WORKER_EBS_SIZE": settings.root_disk_gib,
        "USER_HOME_EBS_SIZE": settings.home_disk_gib,
        "JUPYTER_NOTEBOOK_TIMEOUT": settings.idle_timeout_seconds,
        "IDLE_ACTION": settings.idle_action,
        "KEEP_HOURS": settings.keep_hours,
        "MAX_AGE_HOURS": settings.max_age_hours,
        "SWEEP": settings.sweep,
        "SERVER_OWNER": settings.server_owner,
        "MOVE_HOMES": settings.move_homes,
        "MAX_MACHINES": settings.max_machines,
        "WHEN_FULL": settings.when_full,
        "POOL": settings.pool,
        "POOL_STATE": settings.pool_state,
        "POOL_MAX": settings.pool_max,
        "POOL_SPARE_HOURS": settings.pool_spare_hours,
    }
    if settings.endpoint_url:
        keys["EC2_ENDPOINT_URL"] = settings.endpoint_url
    return keys
