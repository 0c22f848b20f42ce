"""Digests: which articles, by which rules, and whether the editor lets them go."""
