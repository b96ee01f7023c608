"""How swarmtally reaches others: wheel, bundle for Claude Desktop, install links. None of it is in the wheel."""
