"""How fast the served models are: Locust users, a sweep over batch sizes and users, and its report."""
