"""What is deployed with, beyond what the lock file has: out of the package index, each alone and by its hash."""
