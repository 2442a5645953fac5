"""What ZooKeeper has on its disks: transactions, snapshots, and the tree that they make. Pure; streams are handed in, never opened."""
