"""How many replicas a rate of images takes, and what runs out first, from latencies that were published or measured."""
