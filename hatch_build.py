"""Compile the modules that every octet of a mail goes through, by mypyc, where there is a C compiler.

The compiled modules stand beside their sources, and do the same: without a compiler, or with
MAILGATE_PURE_PYTHON=1, Mailgate runs from the sources alone, at about twice the CPU time a mail.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SOURCES = ROOT / "milter"
GROUP = "mailgate"  # names the library that the compiled modules share: mailgate__mypyc
# Only what is compiled is checked here, and it must compile where no other package is installed.
MYPY_OPTIONS = (
    "--config-file=",
    "--follow-imports=silent",
    "--ignore-missing-imports",
    "--namespace-packages",
    "--explicit-package-bases",
)
MODULES = (
    "milter/mailgate/activity.py",
    "milter/mailgate/caches.py",
    "milter/mailgate/content_hash.py",
    "milter/mailgate/doors/milter.py",
    "milter/mailgate/doors/transaction.py",
    "milter/mailgate/gate.py",
    "milter/mailgate/identity/identity.py",
    "milter/mailgate/identity/organization.py",
    "milter/mailgate/identity/rewriting.py",
    "milter/mailgate/identity/spelling.py",
    "milter/mailgate/ledger/commits.py",
    "milter/mailgate/ledger/fresh.py",
    "milter/mailgate/ledger/history.py",
    "milter/mailgate/ledger/journal.py",
    "milter/mailgate/logs.py",
    "milter/mailgate/metrics.py",
    "milter/mailgate/mime/fields.py",
    "milter/mailgate/mime/inline.py",
    "milter/mailgate/mime/names.py",
    "milter/mailgate/mime/part.py",
    "milter/mailgate/mime/transfer.py",
    "milter/mailgate/mime/walker.py",
    "milter/mailgate/model.py",
    "milter/mailgate/policy.py",
    "milter/mailgate/text/addresses.py",
    "milter/mailgate/text/folding.py",
    "milter/mailgate/text/lexicon.py",
    "milter/mailgate/text/reading.py",
    "milter/mailgate/text/received.py",
    "milter/mailgate/text/simple_html.py",
    "milter/mailgate/wire/milter.py",
)


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    """hatchling's hook for wheels and editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and put what was compiled into the wheel."""
        if not compile_modules():
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if version == "standard":
            build_data["force_include"].update({str(path): str(place) for path, place in compiled().items()})


def compiled() -> dict[Path, Path]:
    """Return the compiled modules that stand beside their sources, each with its place in a wheel."""
    return {path: path.relative_to(SOURCES) for path in sorted(SOURCES.rglob("*.so"))}


def compile_modules() -> bool:
    """Compile MODULES beside their sources, and tell whether they are compiled."""
    for path in compiled():
        path.unlink()  # an old one would hide its newer source
    if os.environ.get("MAILGATE_PURE_PYTHON") == "1":
        return False
    if shutil.which(os.environ.get("CC", "cc")) is None:
        print("no C compiler: Mailgate will take about twice the CPU time for a mail", file=sys.stderr)
        return False

    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    os.chdir(ROOT)
    os.environ["MYPYPATH"] = "milter:rules"
    extensions = mypycify(
        [*MYPY_OPTIONS, *MODULES], opt_level="2", debug_level="0", group_name=GROUP, target_dir="build"
    )
    build = build_ext(Distribution({"name": "mailgate-compiled", "ext_modules": extensions}))
    build.build_lib, build.build_temp, build.parallel = str(SOURCES), "build", True
    build.ensure_finalized()
    build.run()
    return True


if __name__ == "__main__":
    compile_modules()
