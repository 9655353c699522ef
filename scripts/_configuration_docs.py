"""docs/configuration.md, from the spawner's traits and the keys of configuration and launch."""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from traitlets import Undefined

from cloudjhub import InstanceSpawner
from cloudjhub.config import ClusterConfig
from cloudjhub.deploy.settings import Settings

TARGET = Path(__file__).resolve().parent.parent / "docs/configuration.md"

HEAD = """# Configuration

<!-- Written by scripts/make_docs from the code. Change the descriptions there. -->

What a launch works from stands [below](#the-launch). Two files say how a hub works:

- **`server_config.json`** says what the cluster works from. The launch writes it to
  `/etc/jupyterhub/server_config.json`; the environment variable `CLOUDJHUB_CONFIG` names another.
  It is read again whenever it changes, so a mended file needs no restart unless its key says so.
  A file that became unusable is refused with a line in the hub's log, and what it said before
  stays in force.
- **`jupyterhub_config.py`** is JupyterHub's own. The repository's file is used as it is; what
  belongs to one hub (who may log in, certificates, ports) goes into files of its own in the folder
  `jupyterhub_config.d` beside `server_config.json`. They are loaded in the order of their names.

Nobody may log in until one of those files says who. For example `jupyterhub_config.d/login.py`:

```python
c = get_config()
c.JupyterHub.authenticator_class = "github"  # from the package oauthenticator
c.GitHubOAuthenticator.allowed_organizations = {"our-course"}
c.Authenticator.admin_users = {"prof"}
```
"""

KEYS_HEAD = """
## server_config.json

Sizes are GiB, times seconds. A key that is not in this list is refused.

| key | default | what it says |
|---|---|---|
"""

LAUNCH_HEAD = """
## The launch

The four required ones are given by place:
`launch.py CLUSTER_NAME BASE_AMI PRIVATE_SUBNET_ID PUBLIC_SUBNET_ID`. Every other is a flag
(`--worker_instance_type` or `--worker-instance-type`). All can be variables of the environment
(`CLOUDJHUB_WORKER_INSTANCE_TYPE`), lines of `launch_cluster/secure.py` and keys of
`instance_config.json`. A flag wins over the environment, that over `secure.py`, and that over
`instance_config.json`.

| key | default | what it says |
|---|---|---|
"""

TRAITS_HEAD = """
## InstanceSpawner

The spawner's own settings in `jupyterhub_config.py`. Those of every JupyterHub spawner, such as
`default_url` or `environment`, work as usual.
"""


def key_rows(model: type[BaseModel]) -> list[str]:
    """One table row for each key."""
    return [
        f"| `{info.alias}` | {key_default(info)} | {info.description} |"
        for info in model.model_fields.values()
    ]


def key_default(info: FieldInfo) -> str:
    """The default as it would stand in the file."""
    if info.is_required():
        return "required"
    return "none" if info.default is None else f"`{json.dumps(info.default)}`"


def spawner_traits() -> dict[str, Any]:
    """The configurable traits that this project adds to JupyterHub's Spawner."""
    ours = [base for base in InstanceSpawner.__mro__ if base.__module__.startswith("cloudjhub.")]
    return {
        name: trait
        for name, trait in InstanceSpawner.class_traits(config=True).items()
        if any(name in vars(base) for base in ours)
    }


def trait_section(name: str, trait: Any) -> str:
    """A heading, the default and the help text."""
    default = trait.default_value
    shown = "" if default is Undefined or default == "" else f" = {default!r}"
    return f"\n### `c.InstanceSpawner.{name}{shown}`\n\n{inspect.cleandoc(trait.help)}\n"


def page() -> str:
    """The whole page."""
    sections = [trait_section(name, trait) for name, trait in sorted(spawner_traits().items())]
    keys = KEYS_HEAD + "\n".join(key_rows(ClusterConfig)) + "\n"
    launch = LAUNCH_HEAD + "\n".join(key_rows(Settings)) + "\n"
    return HEAD + keys + TRAITS_HEAD + "".join(sections) + launch


def main() -> int:
    """Write the page, or with --check compare it."""
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(page())
        return 0
    if TARGET.is_file() and TARGET.read_text() == page():
        return 0
    print(f"{TARGET.name} is not current; run scripts/make_docs.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
