"""PaddleClas's published archives: downloaded into the user's cache, resumed, retried, recorded, always the same."""
