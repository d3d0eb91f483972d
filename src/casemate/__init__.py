"""Casemate: a self-hosted serverless platform that enforces what it offers."""

__version__ = "0.1.0"
