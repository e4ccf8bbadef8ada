"""Texts of a new exchange's package that are no copy of the example: pyproject.toml, README, .gitignore."""

PYPROJECT = """\
[build-system]
requires = ["setuptools>=77.0.3"]
build-backend = "setuptools.build_meta"

[project]
name = "{distribution}"
version = "0.1.0"
description = "The exchange {title} for alphapulse"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["alphapulse>={version}"]

[project.optional-dependencies]
dev = ["pytest>=8.2.0"]

[project.entry-points."alphapulse.exchanges"]
{name} = "{package}"

[tool.setuptools]
packages = ["{package}"]

[tool.pytest.ini_options]
testpaths = ["tests"]
"""

GITIGNORE = """\
__pycache__/
*.egg-info/
.venv/
build/
dist/
"""

README = """\
# {title} for alphapulse

A plug-in: once it is installed, every command of `alphapulse` knows the exchange `{name}`.

```sh
python3 -m venv .venv
.venv/bin/pip install -e '.[dev]'
.venv/bin/pytest                              # its rules, and the conformance kit
.venv/bin/alphapulse exchanges check {name}   # the kit as a table
.venv/bin/alphapulse demo --exchanges {name}  # its simulator, a collector, the live screen
```

It begins as a small fictitious exchange that works. Turn it into the real one in this order; after each step the tests of that step
are red until they say what the exchange really does.

1. **The table** (decoder.py, docstring): one row a message, each with its evidence: documentation, or better a recorded frame.
2. **Facts** (facts.py): addresses, limits, what proves a book, fees, quirks. LISTINGS: a few instruments for the simulator.
3. **Metadata** (instruments.py): native names, decimals of price and size, the words of the trading status.
4. **Decoder** (decoder.py): rules E1 to E8 become yours; renumber them, and let tests/test_rules.py carry the numbers.
   What shows a loss: a sequence, a checksum (`book_checksum`), nothing (`Mode.shows_loss=False`)? What heals it: a new subscription,
   a REST snapshot (`FetchSnapshot`), a new connection (`Reconnect`)? What shows a mute connection: heartbeats (`Mode.silence`), or a ping
   of the exchange's own that the decoder sends?
5. **Encoder** (encoder.py): the other side, from the same table.
6. **`alphapulse exchanges check {name}`** until nothing fails.
7. **Recorded frames**: put short ones, with origin and date, into tests/test_rules.py.
8. **Fast**: a `Shape` of the commonest book update (alphapulse_cli/exchanges/shape.py); the kit compares both parsers.
9. **The campaign of faults**, from a source tree of alphapulse: `python -P scripts/chaos.py --feed {name} --seeds 0..49`.

How each part must behave: `alphapulse_cli/exchanges/protocol.py`, and docs/how-to/add-an-exchange.md of alphapulse. The modules are in
the folder that `.venv/bin/python -c "import alphapulse_cli; print(alphapulse_cli.__path__[0])"` prints.
"""
