"""Everything that README.md and the pages of docs/ show is run.

Python blocks are executed, each in a namespace of its own (as doctests where they show a prompt); of
console blocks, every `varangian` command must exit with 0. A block whose info string carries `no-run` is
left out.
"""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from varangian.specification import from_strings

HOME = Path(__file__).parent.parent
PAGES = [HOME / "README.md", *sorted((HOME / "docs").glob("*.md"))]
FENCE = re.compile(r"^(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.M | re.S)
PYTHON = {"python", "py", "pycon"}
CONSOLE = {"console", "bash", "sh", "shell"}
NOT_OURS = re.compile(r"^(python3? -m )?pip install|^git clone|^make\b|^cd\b|^python3? -m venv|^(source|\.) ")
SECONDS = 300


@dataclass(frozen=True)
class Block:
    """A fenced block: the words of its info string, its text, and the page and line it starts on."""

    info: tuple[str, ...]
    text: str
    line: int
    page: str = "page"

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def language(self) -> str:
        return self.info[0].lower() if self.info else ""

    @property
    def runs(self) -> bool:
        return "no-run" not in self.info

    def commands(self) -> list[str]:
        """Return the commands of a console block: what follows `$ `, continuation lines joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if any(line.startswith("$ ") for line in lines):
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        stripped = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in lines)
        return [line for line in stripped if line]


def blocks_of(text: str, page: str = "page") -> list[Block]:
    """Return the fenced blocks of a page of Markdown."""
    return [
        Block(
            tuple(re.split(r"[\s,{}]+", found["info"].strip())),
            found["body"],
            text.count("\n", 0, found.start()) + 1,
            page,
        )
        for found in FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page.read_text(encoding="utf-8"), page.name)]


def shown(languages: set[str]) -> list[object]:
    """Return the blocks to run in these languages, as named parameters."""
    return [
        pytest.param(block, id=block.place) for block in BLOCKS if block.language in languages and block.runs
    ]


def run_python(block: Block) -> None:
    """Execute a block; where it shows a prompt, its output must be the one shown."""
    if re.search(r"^>>> ", block.text, re.M):
        example = doctest.DocTestParser().get_doctest(
            block.text, {"__name__": "__main__"}, block.place, block.page, block.line
        )
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        report: list[str] = []
        runner.run(example, out=report.append)
        assert not runner.failures, "".join(report)
        return
    code = "\n" * block.line + block.text
    module = ModuleType("readme")
    sys.modules[module.__name__] = module  # so that a class defined in a block can be pickled
    exec(compile(code, block.page, "exec"), vars(module))


def run_command(command: str, folder: Path) -> None:
    """Run one command line with the environment of this interpreter in front of the path."""
    binaries = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([binaries, os.environ.get("PATH", "")])}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        check=False,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}"


def test_pages_show_python_and_commands() -> None:
    assert shown(PYTHON), "No page shows Python that is run."
    assert shown(CONSOLE), "No page shows a command."


def test_nearly_every_block_runs() -> None:
    left_out = [block.place for block in BLOCKS if not block.runs]
    assert len(left_out) <= 1, f"Blocks are left out: {left_out}."


@pytest.mark.parametrize("block", shown(PYTHON))
def test_python(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python(block)


@pytest.mark.parametrize("block", shown(CONSOLE))
def test_commands(block: Block, tmp_path: Path) -> None:
    shutil.copytree(HOME / "examples", tmp_path / "examples")
    for command in block.commands():
        if NOT_OURS.match(command):
            continue
        assert re.match(r"varangian\b", command), f"{block.place}: who runs {command!r}?"
        run_command(command, tmp_path)


def test_toml_is_an_experiment() -> None:
    blocks = [block for block in BLOCKS if block.language == "toml"]
    assert blocks
    for block in blocks:
        from_strings(tomllib.loads(block.text))


def test_table_of_rules_is_made_from_their_fields() -> None:
    script = HOME / "scripts" / "choose"
    done = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    assert done.stdout in (HOME / "docs" / "rules.md").read_text(encoding="utf-8"), (
        "Run scripts/choose --write."
    )


PAGE = """
```python
x = 1
assert x == 1
```

```pycon
>>> 1 + 1
2
```

```console no-run
$ varangian serve
```

```console
$ pip install varangian
$ varangian train \\
    --steps 3   # three
steps 3
```
"""


def test_blocks_are_read() -> None:
    blocks = blocks_of(PAGE)
    assert [block.language for block in blocks] == ["python", "pycon", "console", "console"]
    assert [block.runs for block in blocks] == [True, True, False, True]
    assert blocks[0].line == 2
    commands = [" ".join(command.split()) for command in blocks[3].commands()]
    assert commands == ["pip install varangian", "varangian train --steps 3"]


def test_a_block_that_is_wrong_fails() -> None:
    run_python(blocks_of(PAGE)[0])
    run_python(blocks_of(PAGE)[1])
    with pytest.raises(AssertionError):
        run_python(Block(("python",), "assert False\n", 1))
    with pytest.raises(AssertionError, match="Expected"):
        run_python(Block(("pycon",), ">>> 1 + 1\n3\n", 1))


def test_a_command_that_fails_fails(tmp_path: Path) -> None:
    run_command("exit 0", tmp_path)
    with pytest.raises(AssertionError, match="no such thing"):
        run_command("echo no such thing; exit 3", tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_there(page: Path) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=HOME, capture_output=True, text=True, check=False)
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        file = (page.parent / target).resolve()
        assert file.is_file(), f"{page.name} links to {target}, which is not there."
        if tracked.returncode == 0:
            kept = tracked.stdout.splitlines()
            assert str(file.relative_to(HOME)) in kept, f"{target} is linked to, and not kept."
