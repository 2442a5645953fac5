"""The only rooms that change the world: hosts (files and servers on a machine) and reconfig."""
