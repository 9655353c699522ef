"""AWS as the operator of a cluster asks it: one noun per file, frozen values out."""
