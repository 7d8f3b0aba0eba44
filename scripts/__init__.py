"""One module a verb: fetch, export, verify, populate, serve, quickstart. Run with python -m scripts.<verb>."""
