"""The whole system on one Linux computer: a local EC2, a real hub, a real proxy."""
