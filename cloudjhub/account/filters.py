"""How the resources of one cluster are asked for. An empty cluster name is refused."""

from typing import Any

from cloudjhub.errors import ConfigError
from cloudjhub.naming import CLUSTER_TAG, ROLE_TAG


def of_cluster(cluster: str, *roles: str) -> list[dict[str, Any]]:
    """Describe-filters: what carries the cluster's tag, in one of the roles if any is named."""
    if not cluster:
        raise ConfigError(["CLUSTER_NAME: is empty; name the cluster."])
    filters = [matching(f"tag:{CLUSTER_TAG}", cluster)]
    return [*filters, matching(f"tag:{ROLE_TAG}", *roles)] if roles else filters


def matching(name: str, *values: str) -> dict[str, Any]:
    """One describe-filter."""
    return {"Name": name, "Values": list(values)}


def tag_specification(kind: str, tags: dict[str, str]) -> dict[str, Any]:
    """Tags given in the call that makes the resource."""
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {"ResourceType": kind, "Tags": pairs}
