"""JupyterHub as this project runs it, on a manager in AWS and in the demo alike.

What differs between hubs (who may log in, ports, certificates, group rules) stands in files of
its own: every jupyterhub_config.d/*.py beside server_config.json is loaded last, in the order of
the names, and may change what stands here.
"""

import os
from pathlib import Path

from cloudjhub.culler import service as culler
from cloudjhub.hub_api import HANDLERS
from cloudjhub.hub_database import quick_commits
from cloudjhub.hub_start import begin_with_hub

c = get_config()

# What the cluster works from; written by the launch, read by the spawner again when it changes.
server_config = Path(os.environ.get("CLOUDJHUB_CONFIG", "/etc/jupyterhub/server_config.json"))
c.InstanceSpawner.config_file = str(server_config)

# Registered by this project as an entry point: cloudjhub.InstanceSpawner.
c.JupyterHub.spawner_class = "ec2-instance"

# Nobody may log in until a file in jupyterhub_config.d says who: JupyterHub denies everyone when
# neither allow_all nor allowed_users nor the like is set, and that is left as it is.

# A restart of the hub must disturb nobody. By default JupyterHub stops every server (here: every
# machine) and the proxy when it ends.
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = False
# That proxy is configurable-http-proxy 5: abandoned websockets wore version 4 down in a class of
# 500 (https://sqr-104.lsst.io).

# Users' machines must reach the hub. JupyterHub's default, 127.0.0.1, is out of their sight.
# With an address named, the hub listens there only; else everywhere, and machines are told the
# host's own name, which on EC2 is its private address.
hub_address = os.environ.get("CLOUDJHUB_HUB_IP", "")
c.JupyterHub.hub_ip = hub_address or "0.0.0.0"
c.JupyterHub.hub_connect_ip = hub_address

# A machine takes from seconds to minutes; the progress page is better company than a page that
# does not load. 0 also spares the log a warning for each start (default 10 seconds).
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}

# Logins that arrive together share EC2 calls, so the hundred and first need not be turned away.
# EC2's own limits are kept by the spawner. 0 is no limit (default 100).
c.JupyterHub.concurrent_spawn_limit = 0

# Beside JupyterHub's REST API: machines ask when they are idle, the culler has them stopped then.
# That "extra_handlers is deprecated" in the log is about pages, which are better services; these
# need the hub's own spawners.
c.JupyterHub.extra_handlers = HANDLERS

# Every named server is another machine that somebody pays for; an operator can allow them.
c.JupyterHub.allow_named_servers = False

# Work keeps a machine, a tab does not: only what servers say of themselves is their activity. The
# proxy would count every pong of a page that somebody left open.
c.JupyterHub.proxy_class = "cloudjhub.hub_proxy.WorkOnlyProxy"
# Seconds between two looks at the proxy's table, in which it gets back the routes that it lost when
# it was restarted (default 300).
c.JupyterHub.last_activity_interval = 60

# A hub that starts looks at the servers that run for this long before it answers people (seconds;
# default 10). With a thousand of them it answers at once and looks meanwhile.
c.JupyterHub.init_spawners_timeout = 1

# A request that a user or a server makes is written down as activity at most this often (seconds;
# default 30): with a thousand of them every write is one more that the hub waits for.
c.JupyterHub.activity_resolution = 60

# SQLite, where the database is that: commits that wait for no disk, of which a start has ten.
quick_commits()

# Leaving the page is not leaving the machine: work that runs goes on until it is idle.
c.JupyterHub.shutdown_on_logout = False

for extra in sorted((server_config.parent / "jupyterhub_config.d").glob("*.py")):
    load_subconfig(str(extra.absolute()))

# Who is idle is judged by a service, with a page for admins. It stands behind those files, in which
# somebody may set the lists anew, or have it there already.
culler.add_to(c.JupyterHub)

# Machines are looked after, and a pool of ready ones is filled, before anybody logs in.
begin_with_hub()
