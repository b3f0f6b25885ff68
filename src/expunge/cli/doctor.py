"""expunge doctor"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import subprocess
import sys
from typing import Annotated

import typer

from expunge.cli.showing import say, say_json

EXTRAS = {
    "hf": ("torch", "transformers", "peft", "accelerate", "safetensors", "scipy", "sklearn", "rouge_score"),
    "stores": ("apsw", "datasets", "faiss", "pyarrow"),
}


def _broken_torchvision() -> bool:
    """Whether torchvision is installed and cannot be imported, which breaks every model class of transformers."""
    if importlib.util.find_spec("torchvision") is None:
        return False
    tried = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, check=False)
    return tried.returncode != 0


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> int:
    """Say what is installed, what is missing, and what does not fit together.

    Example: expunge doctor
    """
    from expunge import __version__
    from expunge.ledger.home import home_path
    from expunge.workflow.stages import threads, versions

    missing = {e: [n for n in names if importlib.util.find_spec(n) is None] for e, names in EXTRAS.items()}
    problems = [f"the extra '{e}' lacks {', '.join(n)}: pip install 'expunge[{e}]'" for e, n in missing.items() if n]
    if _broken_torchvision():
        problems.append("torchvision is installed and cannot be imported: pip uninstall torchvision")
    facts = {
        "expunge": __version__,
        "python": platform.python_version(),
        "cryptography": importlib.metadata.version("cryptography"),
        **versions(),
        "threads": str(threads()),
        "home": str(home_path()),
    }
    if as_json:
        say_json({"facts": facts, "problems": problems})
    else:
        for name, value in facts.items():
            say(f"{name:<14} {value}")
        for problem in problems:
            say(f"problem: {problem}")
        if not problems:
            say("nothing is wrong")
    return 3 if problems else 0
