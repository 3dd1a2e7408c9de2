"""Definitions: one class a noun, read from Azure ML's YAML, from Python keywords and from what was stored."""
