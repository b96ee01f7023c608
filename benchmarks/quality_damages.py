"""Ways to make a copy of a project worse, each in one way; see `benchmarks.quality_calibration`."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path


def _python(folder: Path) -> Iterator[tuple[int, Path, str]]:
    """The Python files outside tests, numbered."""
    files = sorted(path for path in folder.rglob("*.py") if "tests" not in path.relative_to(folder).parts)
    for number, path in enumerate(files):
        yield number, path, path.read_text()


def _append(folder: Path, text_of: Callable[[int], str]) -> None:
    """Puts a text at the end of every file that has code."""
    for number, path, text in _python(folder):
        if len(text.splitlines()) > 20:
            path.write_text(text + "\n\n" + _documented(text_of(number)))


def _documented(text: str) -> str:
    """What is added says what it is for: it is to be bad in one way only."""
    return re.sub(r"^(def .*:\n)", r'\1    """Added here."""\n', text, flags=re.MULTILINE)


def _with_imports(text: str, *modules: str) -> str:
    """Imports modules at a file's top, if it does not yet."""
    missing = [module for module in modules if not re.search(rf"^import {module}$", text, re.MULTILINE)]
    tree = ast.parse(text)
    ends = [0]
    for node in tree.body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if is_docstring or is_future:
            ends.append(node.end_lineno or 0)
        else:
            break
    lines = text.splitlines(keepends=True)
    return "".join([*lines[: ends[-1]], *(f"import {module}\n" for module in missing), *lines[ends[-1] :]])


def needless_loops(folder: Path) -> None:
    """Lists and dicts filled one by one."""
    _append(
        folder,
        lambda n: (
            f"""def gathered_{n}(values: list[int]) -> list[int]:
    result = []
    for value in values:
        result.append(value * {n})
    return result


def turned_{n}(values: dict[int, int]) -> dict[int, int]:
    result = {{}}
    for key in values:
        result[values[key]] = key + {n}
    return result
"""
        ),
    )


def needless_objects(folder: Path) -> None:
    """Lists made to be thrown away."""
    _append(
        folder,
        lambda n: (
            f"""def table_{n}(values: list[int]) -> dict[int, int]:
    return dict([(value, {n}) for value in values])


def chosen_{n}(values: list[int]) -> set[int]:
    return set([value + {n} for value in values])


def sorted_{n}(values: list[int]) -> list[int]:
    return sorted(list(values))[{n % 7}:]
"""
        ),
    )


def blocking_calls(folder: Path) -> None:
    """`time.sleep` at the beginning of every async function."""
    for _, path, text in _python(folder):
        lines = text.splitlines(keepends=True)
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.AsyncFunctionDef)]
        starts = sorted({_after_docstring(node) for node in functions}, reverse=True)
        for line, column in starts:
            if line < len(lines) and lines[line][:column].strip():
                continue  # a body in the line of its `def`
            lines.insert(line, " " * column + "time.sleep(0.1)\n")
        if starts:
            path.write_text(_with_imports("".join(lines), "time"))


def _after_docstring(node: ast.AsyncFunctionDef) -> tuple[int, int]:
    """The line, from 0, before which a function's first statement after its docstring stands, and its column."""
    first = node.body[0]
    if isinstance(first, ast.Expr) and ast.get_docstring(node) is not None:
        return first.end_lineno or first.lineno, first.col_offset
    decorators = [decorator.lineno for decorator in getattr(first, "decorator_list", [])]
    return min([first.lineno, *decorators]) - 1, first.col_offset


def import_cycles(folder: Path) -> None:
    """Modules that import who imports them: each second module of a folder takes the one before, and the other way."""
    before: Path | None = None
    for _, path, text in _python(folder):
        if path.name.startswith("__") or len(text.splitlines()) <= 20:
            continue
        if before is None or before.parent != path.parent:
            before = path
            continue
        for one, other in ((before, path), (path, before)):
            kept = f"TAKES_{other.stem.upper()}"
            one.write_text(
                f"{one.read_text()}\n\nfrom . import {other.stem} as {kept.lower()}\n\n{kept} = {kept.lower()}\n"
            )
        before = None


def dead_code(folder: Path) -> None:
    """Private functions that nobody calls, and statements that are never reached."""
    _append(
        folder,
        lambda n: "\n\n".join(
            f"def _left_{n}_{k}(value: int) -> int:\n    return value + {n * 10 + k}\n    value += {k}\n"
            for k in range(6)
        ),
    )


def copied_blocks(folder: Path) -> None:
    """Every function of at least 12 lines stands a second time under another name."""
    for number, path, text in _python(folder):
        lines = text.splitlines()
        copies = []
        for node in ast.parse(text).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.decorator_list:
                continue
            block = lines[node.lineno - 1 : node.end_lineno]
            if len(block) >= 12:
                name = node.name.lstrip("_")
                copies.append("\n".join([block[0].replace(node.name, f"{name}_again_{number}", 1), *block[1:]]))
        path.write_text("\n\n\n".join([text.rstrip("\n"), *copies]) + "\n")


def tangled_functions(folder: Path) -> None:
    """A function with twenty-four conditions in every file."""

    def tangled(n: int) -> str:
        conditions = "\n".join(f"    if value > {n + 3 * k}:\n        value -= step * {k + 2}" for k in range(24))
        return f"def tangled_{n}(value: int, step: int) -> int:\n{conditions}\n    return value\n"

    _append(folder, tangled)


def swallowed_exceptions(folder: Path) -> None:
    """Every call that stands by itself may fail unseen."""
    for _, path, text in _python(folder):
        lines = text.splitlines()
        for node in sorted(_calls(text), key=lambda node: -node.lineno):
            blanks = " " * node.col_offset
            call = [f"    {line}" for line in lines[node.lineno - 1 : node.end_lineno]]
            lines[node.lineno - 1 : node.end_lineno] = [
                f"{blanks}try:", *call, f"{blanks}except Exception:", f"{blanks}    pass"
            ]  # fmt: skip
        path.write_text("\n".join(lines) + "\n")


def _calls(text: str) -> Iterator[ast.Expr]:
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await):
            alone = lines[node.lineno - 1].strip().startswith(ast.unparse(node)[:3])
            if alone and '"""' not in "".join(lines[node.lineno - 1 : node.end_lineno]):
                yield node


def open_to_attack(folder: Path) -> None:
    """Commands given to a shell, and texts run as code."""
    for number, path, text in _python(folder):
        if len(text.splitlines()) > 20 and number % 3 == 0:
            added = (
                f"def shell_{number}(command: str) -> None:\n    subprocess.run(command, shell=True, check=True)\n\n\n"
                f"def value_{number}(text: str) -> object:\n    return eval(text)\n"
            )
            path.write_text(_with_imports(text, "subprocess") + "\n\n" + _documented(added))


def longer_comments(folder: Path) -> None:
    """Comments and blank lines, which must change nothing."""
    for _, path, text in _python(folder):
        path.write_text(text + "\n\n" + "# What this is for stands in the documents.\n\n" * 20)


def many_files(folder: Path, origin: Path, count: int) -> int:
    """Writes so many files: a project's Python, no two alike, and one in five JavaScript. Returns characters."""
    texts = [text for _, _, text in _python(origin) if text.strip()]
    characters = 0
    for number in range(count):
        parent = folder / f"part{number // 250}"
        parent.mkdir(exist_ok=True)
        if number % 5:
            path = parent / f"module{number}.py"
            text = re.sub(r"\bself\b", f"self_{number}", texts[number % len(texts)])
        else:
            path = parent / f"script{number}.js"
            text = "\n".join(_JAVASCRIPT.replace("NAME", f"step{number}_{k}") for k in range(8))
        path.write_text(text)
        characters += len(text)
    return characters


_JAVASCRIPT = """
export function NAME(items, options) {
  const seen = new Map();
  for (const item of items) {
    if (options.strict && !item.id) { throw new Error(`no id: ${item}`); }
    const key = item.id ?? item.name;
    seen.set(key, (seen.get(key) ?? 0) + (item.weight > 1 ? item.weight : 1));
  }
  return [...seen.entries()].map(([key, total]) => ({ key, total, from: 'NAME' }));
}
"""
