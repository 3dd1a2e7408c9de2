"""Endpoints and their deployments: what users define, deploy, try and invoke."""
