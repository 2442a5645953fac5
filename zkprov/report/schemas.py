"""JSON Schemas of every document that zkprov prints, sends or stores; `python -m zkprov.report.schemas DIR` writes them."""

from __future__ import annotations

