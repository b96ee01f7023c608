"""Tasks that do nothing, ours written down for good, beside those of systems that write nothing down."""
