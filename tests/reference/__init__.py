"""Slow literal versions: each formula of the method as plain loops. The fast code must match."""
