"""Machines kept ready for whoever comes next: how many, and who looks after them."""
