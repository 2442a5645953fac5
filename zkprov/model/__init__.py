"""The nouns, pure: servers, configs, quorums, proofs, releases and facts. Imports nothing of zkprov and no I/O library."""
