"""zkprov changes the membership and the software of Apache ZooKeeper ensembles without ever electing a second leader."""

try:
    from zkprov._version import __version__
except ImportError:  # a checkout in which nothing was built: what is installed says it, if anything does
    from importlib import metadata

    try:
        __version__ = metadata.version("zkprov")
    except metadata.PackageNotFoundError:
        __version__ = "0+unknown"

__all__ = ["__version__"]
