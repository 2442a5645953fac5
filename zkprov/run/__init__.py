"""Carries a plan out: engine, journal, ledger, lock, fences, events. May import plan, judge, observe, act and model."""
