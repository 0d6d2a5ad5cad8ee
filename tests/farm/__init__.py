"""Folders of links."""
