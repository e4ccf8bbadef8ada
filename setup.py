"""The one list of compiled modules, and how they are compiled: all of them or none.

`ALPHAPULSE_BUILD=require` fails without a compiler, `none` never compiles, `auto` (the default) compiles where it can and
otherwise leaves every module interpreted. Each extension carries the hash of its sources (see `alphapulse_cli/build.py`), so
that an edited file beside an old `.so` is an error and not a wrong answer.
"""

import importlib.util
import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent


def load_build_facts():
    """`alphapulse_cli/build.py`, without importing the package that is about to be built."""
    spec = importlib.util.spec_from_file_location("_alphapulse_build", ROOT / "alphapulse_cli" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = load_build_facts()
MODE = os.environ.get("ALPHAPULSE_BUILD", "auto")
if MODE not in ("require", "auto", "none"):
    sys.exit(f"ALPHAPULSE_BUILD={MODE!r}: must be require, auto or none")


class AllOrNone(build_ext):
    """Builds every extension, or, in `auto` mode, removes what was built of them and goes on interpreted."""

    def run(self):
        try:
            super().run()
        except Exception as error:
            if MODE == "require":
                raise
            self.announce(f"alphapulse: no compiled core, running interpreted ({error})", level=3)
            for extension in self.extensions:
                for path in (self.get_ext_fullpath(extension.name), Path(self.build_lib) / self.get_ext_filename(extension.name)):
                    Path(path).unlink(missing_ok=True)
            self.extensions = []
            self.distribution.ext_modules = []

    def copy_extensions_to_source(self):
        if self.extensions:
            super().copy_extensions_to_source()

    def get_outputs(self):
        return super().get_outputs() if self.extensions else []


def extensions():
    """The extensions to build, translated to C; none in mode `none`, or in `auto` without a working Cython."""
    if MODE == "none":
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if MODE == "require":
            raise
        return []
    found = []
    for module in BUILD.COMPILED_MODULES:
        path = module.replace(".", "/") + ".py"
        digest = BUILD.source_hash(module, ROOT)
        found.append(
            Extension(
                module,
                [path],
                define_macros=[("ALPHAPULSE_SOURCE_HASH", f'"{digest}"')],
                extra_compile_args=["-O3", "-std=c11", "-fno-math-errno"],
            )
        )
    try:
        return cythonize(
            found,
            build_dir="build/cython",
            nthreads=0,
            compiler_directives={
                "language_level": 3,
                "annotation_typing": False,
                "boundscheck": False,
                "wraparound": False,
                "initializedcheck": False,
                "binding": True,
            },
        )
    except Exception as error:
        if MODE == "require":
            raise
        print(f"alphapulse: no compiled core, running interpreted ({error})", file=sys.stderr)
        return []


setup(ext_modules=extensions(), cmdclass={"build_ext": AllOrNone})
