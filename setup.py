"""How the compiled modules are built: all of them or none. Which they are is said in `alphapulse_cli/build.py`.

`ALPHAPULSE_BUILD=require` fails without a compiler, `none` never compiles, `auto` (the default) compiles where it can and
otherwise leaves every module interpreted. Each extension carries the hash of its sources, so that an edited file beside an old
`.so` is an error and not a wrong answer; for the same reason C is always translated anew and nothing of an older build is kept.

Sources are translated when extensions are built, not before: asking for metadata or an sdist needs no Cython.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,  # types come from the .pxd files alone
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "binding": True,
}


def load_build_facts():
    """`alphapulse_cli/build.py`, without importing the package that is about to be built."""
    spec = importlib.util.spec_from_file_location("_alphapulse_build", ROOT / "alphapulse_cli" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = load_build_facts()
MODE = os.environ.get("ALPHAPULSE_BUILD", "auto")
if MODE not in {"require", "auto", "none"}:
    sys.exit(f"ALPHAPULSE_BUILD={MODE!r}: must be require, auto or none")


class FreshBuild(build):
    """Begins with an empty directory: what an earlier build left there (a removed module, an old .so) must not be packed."""

    def run(self):
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class AllOrNone(build_ext):
    """Builds every extension, or, in `auto` mode, removes what was built of them and goes on interpreted."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or min(os.cpu_count() or 1, 4)

    def run(self):
        inplace = self.inplace
        try:
            self.translate()
            super().run()
        except Exception as error:
            if MODE == "require":
                raise
            self.inplace = inplace
            print(f"alphapulse: no compiled core, running interpreted ({error})", file=sys.stderr)
            self.give_up()

    def translate(self):
        """Python to C: each extension's sources become the C file that Cython makes of them."""
        from Cython.Build import cythonize

        made = cythonize(self.extensions, build_dir="build/cython", force=True, compiler_directives=DIRECTIVES)
        sources = {extension.name: extension.sources for extension in made}
        for extension in self.extensions:
            extension.sources = sources[extension.name]

    def give_up(self):
        """No extension, and no file of one: neither where they are built nor, for an in-place build, in the source tree."""
        for extension in self.extensions:
            for path in (self.get_ext_fullpath(extension.name), Path(self.build_lib) / self.get_ext_filename(extension.name)):
                Path(path).unlink(missing_ok=True)
        self.extensions = []  # the distribution keeps its own list: the wheel's name and layout were chosen by it already


def extensions():
    """One extension for each compiled module; none in mode `none`."""
    if MODE == "none":
        return []
    return [
        Extension(
            module,
            [module.replace(".", "/") + ".py"],
            define_macros=[("ALPHAPULSE_SOURCE_HASH", f'"{BUILD.source_hash(module, ROOT)}"')],
            extra_compile_args=["-O3", "-std=c11", "-fno-math-errno"],
        )
        for module in BUILD.COMPILED_MODULES
    ]


setup(ext_modules=extensions(), cmdclass={"build": FreshBuild, "build_ext": AllOrNone})
