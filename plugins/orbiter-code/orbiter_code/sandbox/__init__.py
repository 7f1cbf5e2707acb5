"""Sandboxes, seen from outside: how they are started, probed and chosen."""
