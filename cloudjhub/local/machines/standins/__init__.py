"""Machines that have no process: one process answers SSH and HTTP at the addresses of them all."""
