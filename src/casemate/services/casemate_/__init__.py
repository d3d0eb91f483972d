"""The platform's own operations, as one more AWS service."""
