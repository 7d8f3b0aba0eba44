"""Every row of the zoo, one after another, the whole way: weights, export, Triton, answers, latency; and their page."""
