"""The shell front: `swarmtally …`. Each command's module is imported only when that command runs."""
