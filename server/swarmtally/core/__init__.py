"""The swarm itself: scheduling, assignment, leases, memory and runs over the store."""
