"""Decides what a survey means; pure: gates, leaders, newcomers, the proof's input. Imports model only, and no I/O library."""
