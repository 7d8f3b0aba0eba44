"""Servers that do the same job, each as its makers advise it, and how they are started."""
