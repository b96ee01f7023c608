"""`swarmtally import …`: bring in what another program remembered."""

import click

from swarmtally.app import App
from swarmtally.cli import output, session
from swarmtally.cli.group import LazyGroup
from swarmtally.cli.options import Leaf
from swarmtally_tools.definition import View


class RefusedEntry(View):
    namespace: str
    key: str
    reason: str


class DifferentEntry(View):
    namespace: str
    key: str


class ImportView(View):
    file: str
    tables: list[str]
    """What of the file was read: its tables, or of JSON its namespaces."""
    dry_run: bool
    """Whether nothing was written and the counts say what would have been."""
    read: int
    """Entries of the file: the sum of the seven counts that follow."""
    imported: int
    replaced: int
    """Were here with another content, which --overwrite gave up."""
    same: int
    """Were here already: value, tags and expiry."""
    different: int
    """Are here with another content, which was kept."""
    expired: int
    deleted: int
    """Only marked as deleted or archived there."""
    refused: int
    """Cannot be kept here."""
    refused_entries: list[RefusedEntry]
    """The first 100 of them."""
    different_entries: list[DifferentEntry]
    """The first 100 of them."""
    not_imported: dict[str, int]
    """What else the file holds: its tables and their rows."""
    project: str
    database: str


@click.command("claude-flow", cls=Leaf)
@click.argument("path", metavar="PATH")
@click.option("--overwrite", is_flag=True, help="Replace entries that are here with another content.")
@click.option("--dry-run", is_flag=True, help="Say what would be imported; write nothing.")
def _claude_flow(path: str, overwrite: bool, dry_run: bool) -> None:
    """Import claude-flow's memory: its .swarm/memory.db (2.7 and 3.x), .hive-mind/hive.db or memory-store.json.

    The file is only read. An import that is run again adds what is new.
    """

    async def imported(app: App) -> ImportView:
        from swarmtally.importing import Importing

        importing = Importing(app.database, app.clock, app.settings.project)
        file, report = await importing.claude_flow(path, overwrite=overwrite, dry_run=dry_run)
        return ImportView(
            file=str(file),
            tables=list(report.tables),
            dry_run=dry_run,
            read=report.read,
            imported=report.imported,
            replaced=report.replaced,
            same=report.same,
            different=report.different,
            expired=report.expired,
            deleted=report.deleted,
            refused=report.refused,
            refused_entries=[
                RefusedEntry(namespace=one.namespace, key=one.key, reason=one.reason) for one in report.refusals
            ],
            different_entries=[DifferentEntry(namespace=namespace, key=key) for namespace, key in report.differing],
            not_imported=report.not_imported,
            project=app.settings.project,
            database=str(app.settings.database),
        )

    output.show(session.execute(imported))


command = LazyGroup(
    name="import",
    help="Bring in what another program remembered.",
    loaders={"claude-flow": lambda: _claude_flow},
)
