"""Towers, pools, and their export."""
