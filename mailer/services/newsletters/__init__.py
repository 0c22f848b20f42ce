"""Newsletters: purposes, wordings, topics and looks that an operator sets up, and finding them."""
