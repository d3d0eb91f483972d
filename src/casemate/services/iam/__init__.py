"""IAM: users, roles, access keys and policies, and what the rooms ask of them."""
