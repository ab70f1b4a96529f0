"""Everything that README.md shows is run.

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

README = Path(__file__).parent.parent / "README.md"
FENCE = re.compile(r"^(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.M | re.S)
PYTHON = {"python", "py", "pycon"}
CONSOLE = {"console", "bash", "sh", "shell"}
NOT_OURS = re.compile(r"^(python3? -m )?pip install|^git clone|^make\b|^cd\b|^python3? -m venv|^(source|\.) ")
SECONDS = 300


@dataclass(frozen=True)
class Block:
    """A fenced block: the words of its info string, its text, and the line it starts on."""

    info: tuple[str, ...]
    text: str
    line: int

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


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page of Markdown."""
    return [
        Block(
            tuple(re.split(r"[\s,{}]+", found["info"].strip())),
            found["body"],
            text.count("\n", 0, found.start()) + 1,
        )
        for found in FENCE.finditer(text)
    ]


BLOCKS = blocks_of(README.read_text(encoding="utf-8")) if README.exists() else []


def shown(languages: set[str]) -> list[object]:
    """Return the blocks to run in these languages, as named parameters."""
    return [
        pytest.param(block, id=f"line-{block.line}")
        for block in BLOCKS
        if block.language in languages and block.runs
    ]


def run_python(block: Block) -> None:
    """Execute a block; where it shows a prompt, its output must be the one shown."""
    name = f"README.md:{block.line}"
    if re.search(r"^>>> ", block.text, re.M):
        example = doctest.DocTestParser().get_doctest(
            block.text, {"__name__": "__main__"}, name, str(README), block.line
        )
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        report: list[str] = []
        runner.run(example, out=report.append)
        assert not runner.failures, "".join(report)
        return
    code = "\n" * block.line + block.text
    module = ModuleType("readme")
    sys.modules[module.__name__] = module  # so that a class defined in a block can be pickled
    exec(compile(code, str(README), "exec"), vars(module))


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


def test_readme_shows_python_and_commands() -> None:
    assert shown(PYTHON), "README.md shows no Python that is run."
    assert shown(CONSOLE), "README.md shows no command."


def test_nearly_every_block_runs() -> None:
    left_out = [block.line for block in BLOCKS if not block.runs]
    assert len(left_out) <= 1, f"README.md leaves out the blocks of lines {left_out}."


@pytest.mark.parametrize("block", shown(PYTHON))
def test_python(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python(block)


@pytest.mark.parametrize("block", shown(CONSOLE))
def test_commands(block: Block, tmp_path: Path) -> None:
    shutil.copytree(README.parent / "examples", tmp_path / "examples")
    for command in block.commands():
        if NOT_OURS.match(command):
            continue
        assert re.match(r"varangian\b", command), f"README.md:{block.line}: who runs {command!r}?"
        run_command(command, tmp_path)


def test_toml_is_an_experiment() -> None:
    blocks = [block for block in BLOCKS if block.language == "toml"]
    assert blocks
    for block in blocks:
        from_strings(tomllib.loads(block.text))


def test_table_of_rules_is_made_from_their_fields() -> None:
    script = README.parent / "scripts" / "choose"
    done = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    assert done.stdout in README.read_text(encoding="utf-8"), "Run scripts/choose --write."


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


def test_every_link_to_a_file_leads_there() -> None:
    text = README.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    assert targets, "README.md links to no file."
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=README.parent, capture_output=True, text=True, check=False
    )
    for target in targets:
        assert (README.parent / target).is_file(), f"README.md links to {target}, which is not there."
        if tracked.returncode == 0:
            assert target in tracked.stdout.splitlines(), f"{target} is linked to, and not kept."
