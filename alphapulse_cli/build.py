"""List of the compiled modules, and proof that what runs was built from these very sources.

The compiled core is all of `COMPILED_MODULES` or none of them. Each compiled module holds the hash of the sources it was made
from as `SOURCE_HASH`; in a tree where those sources lie beside it, `core_mode` compares the two.
"""

import hashlib
import importlib
from pathlib import Path

COMPILED_MODULES = (
    "alphapulse_cli.market.ticks",
    "alphapulse_cli.market.levels",
    "alphapulse_cli.market.events",
    "alphapulse_cli.shm.mapping",
    "alphapulse_cli.shm.ring",
    "alphapulse_cli.shm.image",
    "alphapulse_cli.shm.histogram",
    "alphapulse_cli.shm.block",
    "alphapulse_cli.wire.batch",
    "alphapulse_cli.book.hashes",
    "alphapulse_cli.book.side",
    "alphapulse_cli.book.merge",
    "alphapulse_cli.book.walk",
    "alphapulse_cli.book.book",
    "alphapulse_cli.book.reconstruct",
    "alphapulse_cli.exchanges.timestamps",
    "alphapulse_cli.exchanges.shape",
    "alphapulse_cli.flow.publish",
    "alphapulse_cli.flow.keeper",
    "alphapulse_cli.flow.ingest",
    "alphapulse_cli.flow.playing",
    "alphapulse_cli.edges.capture.packing",
    "alphapulse_cli.edges.capture.last_rows",
)


def source_hash(module: str, root: Path) -> str:
    """16 hex digits over the module's `.py` and every `.pxd` of the package (they include one another), below `root`.

    Raises FileNotFoundError where the module's source is not there.
    """
    digest = hashlib.sha256((root / (module.replace(".", "/") + ".py")).read_bytes())
    for path in sorted((root / "alphapulse_cli").rglob("*.pxd")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def core_mode() -> str:
    """Say "compiled" or "interpreted"; RuntimeError for a mixture, or for a compiled module that its sources have left behind."""
    modes: dict[str, str] = {}
    root = Path(__file__).parent.parent
    for name in COMPILED_MODULES:
        module = importlib.import_module(name)
        held: str = module.SOURCE_HASH
        modes[name] = "compiled" if held else "interpreted"
        if held and held != source_hash(name, root):
            raise RuntimeError(
                f"{name} was compiled from other sources than those beside it; rebuild: python setup.py build_ext --inplace"
            )
    if len(set(modes.values())) > 1:
        left_out = ", ".join(name for name, mode in modes.items() if mode == "interpreted")
        raise RuntimeError(f"the core is compiled in part only; interpreted: {left_out}; reinstall alphapulse")
    return next(iter(modes.values()))
