"""Readers: surveys, plans and events as documents (JSON, with schemas) and as text for people. Decides nothing."""
