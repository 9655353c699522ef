"""Accounts of a hub without an outside authority: a userlist, sign-up, one-time passwords.

jupyterhub-nativeauthenticator keeps names and password hashes in the hub's database and has the
pages on which admins let people in. ``authenticator`` adds the list and mends what does not fit
JupyterHub 6.
"""

from pathlib import Path

# For c.JupyterHub.template_paths.
TEMPLATES = str(Path(__file__).parent / "templates")
