"""From facts and a wish to a plan or a refusal; pure: steps, membership. Imports judge and model only."""
