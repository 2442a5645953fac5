"""What zkprov costs. Each module measures one thing, prints its figures, and ends with 1 when one is beyond its limit.

Figures are ratios of medians within one run wherever there is something to compare with: machines differ, ratios less.
"""
