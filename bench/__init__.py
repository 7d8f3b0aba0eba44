"""How fast it is, as ratios to what people would otherwise use, measured side by side: `make bench`."""
