"""`python -m zkprov`."""

from zkprov.cli import main

main()
