"""Pairs: sources, decoding, views, plans."""
