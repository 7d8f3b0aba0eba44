"""Whether the SDK's wheel works on each Python, with the lowest and the newest versions of its dependencies."""
