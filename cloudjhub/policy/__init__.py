"""IAM policies: the ones this project asks for, and what a policy allows. Pure."""
