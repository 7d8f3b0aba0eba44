"""PaddleClas classifiers on NVIDIA Triton, called from Python."""
