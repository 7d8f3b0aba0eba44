"""Accuracy through the server: labelled pictures, answers that are kept, shares beside the published ones."""
