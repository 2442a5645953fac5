"""Read-only I/O: asks servers, sessions and disks, and hands back facts. Never changes anything, never judges."""
