"""The network of booted machines: addresses, routes, security groups, metadata.

One network namespace per local EC2 is the router. Every machine has a namespace of its own and one
cable to the router, so that all traffic between machines, and between them and the world, passes
the router's rules. Deleting the namespace deletes the rules.
"""

from cloudjhub.local.vpc.leftovers import remove_leftovers
from cloudjhub.local.vpc.link import Link
from cloudjhub.local.vpc.network import Network

__all__ = ["Link", "Network", "remove_leftovers"]
