"""Machines that boot: Debian with systemd and cloud-init under systemd-nspawn. Root only."""
