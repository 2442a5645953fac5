"""zkprov changes the membership and the software of Apache ZooKeeper ensembles without ever electing a second leader."""

__version__ = "0.1.0"
