"""Faults on purpose, against real servers: what is lost, and how long until service is back."""
