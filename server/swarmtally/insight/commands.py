"""What a command that is suggested needs, to do the same wherever it is pasted."""

from pathlib import Path


def place(project: str, database: Path) -> tuple[str, ...]:
    """The options with which a command in any folder meets this project's work."""
    return ("--project", project, "--db", str(database))
