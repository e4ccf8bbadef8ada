"""The documentation says nothing that is not so: links lead somewhere, commands and flags exist, nothing is left out of the index."""

import re
import shlex
from pathlib import Path

import pytest

from alphapulse_cli.cli import commands, root
from alphapulse_cli.cli.loading import load
from alphapulse_cli.edges.config import layers

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
GLOSSARY = DOCS / "reference" / "glossary.md"
WRITTEN = [page for page in PAGES if page.parent.name != "reference" or page == GLOSSARY]  # by people, not by scripts/docs.py
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def name_of(page):
    return str(page.relative_to(ROOT))


def prose(page):
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text())


def anchors(page):
    """What the headings of a page are called in links."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {anchor_of(head) for head in heads}


def anchor_of(head):
    return re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")


def command_lines(page):
    """Each `alphapulse …` of the page's shell blocks, and of inline code in its text, as words."""
    blocks = [body for language, body in FENCE.findall(page.read_text()) if language == "sh"]
    found = [line for body in blocks for line in body.replace("\\\n", " ").splitlines()]
    found += re.findall(r"`([^`\n]*)`", prose(page))
    for line in found:
        for part in re.split(r"\||&&|;|&(?!\w)", line):
            if not part.lstrip().startswith(("alphapulse", "scripts/demo")):
                continue  # a jq filter, cut at the bars within its quotes, is no shell
            words = shlex.split(part, comments=True)
            if words[:1] == ["alphapulse"] and "…" not in part:
                yield words[1:]
            elif words[:1] == ["scripts/demo"]:
                yield ["demo", *words[1:]]


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=name_of)
    def test_they_resolve(self, page):
        for target in LINK.findall(prose(page)):
            if re.match(r"https?://", target):
                continue
            path, _, anchor = target.partition("#")
            led_to = (page.parent / path).resolve() if path else page
            assert led_to.exists(), target
            assert led_to.is_relative_to(ROOT), target
            if anchor:
                assert anchor in anchors(led_to), target

    def test_the_index_names_every_page(self):
        index = DOCS / "README.md"
        linked = {(DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(index.read_text())}
        pages = {
            page
            for page in DOCS.rglob("*")
            if page.is_file() and page != index and page.parent.name not in ("images", "__pycache__")
        }
        assert {name_of(page) for page in pages if page.resolve() not in linked} == set()

    def test_every_picture_is_on_some_page(self):
        shown = {
            (page.parent / target).resolve() for page in PAGES for target in LINK.findall(prose(page)) if target.endswith(".svg")
        }
        pictures = set((DOCS / "images").iterdir())
        assert pictures
        assert pictures == shown

    def test_every_decision_is_listed_under_its_own_title(self):
        index = (DOCS / "README.md").read_text()
        for page in sorted((DOCS / "decisions").glob("*.md")):
            number, title = re.match(r"# (\d+)\. (.+)\n", page.read_text()).groups()
            assert f"{number}. [{title}](decisions/{page.name})" in index

    def test_every_decision_says_the_four_things(self):
        for page in (DOCS / "decisions").glob("*.md"):
            bold = re.findall(r"^\*\*([^*]+)\.\*\*", page.read_text(), re.MULTILINE)
            assert [head for head in bold if head in ("Context", "Choice", "Cost", "What would change our mind")] == [
                "Context",
                "Choice",
                "Cost",
                "What would change our mind",
            ], page.name


class TestTheGlossary:
    """docs/reference/glossary.md explains the words of the other pages, and only words that are in use."""

    def test_each_term_is_linked_from_a_page(self):
        pattern = re.compile(r"glossary\.md#([\w-]+)")
        linked = {anchor for page in PAGES if page != GLOSSARY for anchor in pattern.findall(page.read_text())}
        terms = re.findall(r"^### (.+)$", GLOSSARY.read_text(), re.MULTILINE)
        assert len(terms) > 30
        assert [term for term in terms if anchor_of(term) not in linked] == []

    def test_each_term_is_a_word_of_the_code_and_explained_once(self):
        code = "".join(
            path.read_text() for path in [*(ROOT / "alphapulse_cli").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
        ).lower()
        words = [word for head in re.findall(r"^### (.+)$", GLOSSARY.read_text(), re.MULTILINE) for word in head.split(", ")]
        assert len(words) == len(set(words))
        assert [word for word in words if word.lower() not in code] == []


class TestCommands:
    @pytest.mark.parametrize("page", WRITTEN, ids=name_of)
    def test_each_one_and_each_of_its_flags_exists(self, page):
        for line in command_lines(page):
            command, words = command_of(line)
            known = flags(command)
            for word in words:
                if re.match(r"--?[a-z]", word):
                    assert word.partition("=")[0] in known, (words, word)

    @pytest.mark.parametrize("page", WRITTEN, ids=name_of)
    def test_each_flag_of_the_text_exists_somewhere(self, page):
        known = {"--help"}.union(*(every_flag(load(name)) for name in commands.available()), flags(root.command()))
        for code in re.findall(r"`([^`\n]+)`", prose(page)):
            for flag in re.findall(r"(?<!\S)--[a-z][a-z-]+", code):
                if not code.startswith(("pip", "scripts/docs.py", "scripts/clients.sh", "systemctl", ".ci/run")):
                    assert flag in known, code

    @pytest.mark.parametrize("page", WRITTEN, ids=name_of)
    def test_each_variable_of_ours_is_read_by_something(self, page):
        known = {key.env(exchange) for key, exchange in layers.known()}
        known |= set(
            re.findall(r"ALPHAPULSE_[A-Z_]+", "".join(path.read_text() for path in (ROOT / "scripts").glob("*") if path.is_file()))
        )
        for variable in re.findall(r"ALPHAPULSE_[A-Z_]+[A-Z]", page.read_text()):
            assert variable in known, variable

    def test_what_the_readme_runs_is_there(self):
        readme = (ROOT / "README.md").read_text()
        for script in re.findall(r"scripts/[a-z_]+", readme):
            assert (ROOT / script).is_file(), script
        used = {words[0] for words in command_lines(ROOT / "README.md") if words and not words[0].startswith("-")}
        assert {"demo", "collect", "tail", "reconstruct", "segments", "doctor"} <= used

    def test_every_command_of_the_table_is_there_and_has_its_page(self):
        assert set(commands.available()) == {entry.name for entry in commands.COMMANDS}
        page = (DOCS / "reference" / "commands.md").read_text()
        for entry in commands.COMMANDS:
            assert entry.alias_of or f"\n## alphapulse {entry.name}\n" in page


class TestClaims:
    @pytest.mark.parametrize("page", WRITTEN, ids=name_of)
    def test_each_test_that_is_named_exists(self, page):
        for path, test in TEST.findall(page.read_text()):
            assert re.search(rf"^ *def {test}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{test}"

    @pytest.mark.parametrize("page", WRITTEN, ids=name_of)
    def test_each_path_of_the_code_that_is_named_exists(self, page):
        for path in re.findall(
            r"`((?:tests|scripts)/[\w/.]+|(?:market|wire|shm|book|exchanges|flow|edges|apps|cli|sim)/[\w/.]+)`", prose(page)
        ):
            assert (ROOT / path).exists() or (ROOT / "alphapulse_cli" / path).exists(), path

    def test_the_states_table_tells_every_state_and_reason(self):
        """What each state means and what to do: none is left out."""
        from alphapulse_cli.wire.delta import BookReason, BookState

        rows = re.findall(
            r"^\| ([A-Z]+) \| ([A-Z_]+) \|", (DOCS / "how-to/collect-from-a-real-exchange.md").read_text(), re.MULTILINE
        )
        assert {state for state, _ in rows} == {state.name for state in BookState}
        assert {reason for _, reason in rows} == {reason.name for reason in BookReason}

    def test_the_table_of_mischief_tells_every_kind(self):
        from alphapulse_cli.sim.mischief import KINDS

        page = (DOCS / "how-to/test-a-bot-against-the-simulators.md").read_text()
        told = [
            kind for cell in re.findall(r"^\| (`[a-z].*?) \|", page, re.MULTILINE) for kind in re.findall(r"`([a-z0-9-]+)`", cell)
        ]
        assert set(told) == set(KINDS)


def command_of(words):
    """The command that these words call, subcommands too, and the words that it gets."""
    command = root.command()
    if words and not words[0].startswith("-"):
        assert words[0] in commands.available(), words
        command, words = load(words[0]), words[1:]
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    if words and hasattr(command, "default"):  # `replay FILE` is `replay play FILE`
        command = command.commands[command.default]
    return command, words


def flags(command):
    """The options of one command, long and short."""
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help", "-h"}


def every_flag(command):
    """Those of a command and all below it."""
    return flags(command).union(*(every_flag(child) for child in getattr(command, "commands", {}).values()))


class TestTheReferenceIsComplete:
    """`scripts/docs.py --check` says that the pages are what the code says; these say that nothing is missing."""

    @pytest.mark.parametrize("name", [f"{d}/{n}" for d, n in [("shm", "layout"), ("wire", "delta"), ("wire", "trade")]])
    def test_every_field_has_a_row(self, name):
        from alphapulse_cli.shm import layout
        from alphapulse_cli.wire import delta, trade

        page = (DOCS / "reference" / "layouts.md").read_text()
        fields = {
            "shm/layout": [
                field.name
                for field in (
                    *layout.HEADER.values(),
                    *layout.IMAGE_FIELDS,
                    *layout.RULES_FIELDS,
                    *layout.STATUS_FIELDS,
                    *layout.CHECKPOINT_FIELDS,
                )
            ],
            "wire/delta": [
                row[0] for row in (*delta.DELTA_FIELDS, *delta.CHANGE_FIELDS, *delta.CHECK_FIELDS, *delta.STATUS_FIELDS)
            ],
            "wire/trade": [row[0] for row in trade.TRADE_FIELDS],
        }[name]
        for field in fields:
            assert f"| `{field}` |" in page, field

    def test_every_public_name_of_the_package_is_documented(self):
        import alphapulse_cli

        page, errors = ((DOCS / "reference" / name).read_text() for name in ("python.md", "errors.md"))
        for name in alphapulse_cli.__all__:
            is_shown = re.search(rf"^### `{name}[(`]", page, re.MULTILINE) or f"| `{name}` |" in errors
            assert name.startswith("__") or is_shown, name

    def test_the_hash_as_it_is_described_gives_the_vectors(self):
        """The page's own words, as a program."""
        rows = re.findall(
            r"^\| ([^|]+) \| ([^|]+) \| `([0-9a-f]{16})` \|$", (DOCS / "reference/layouts.md").read_text(), re.MULTILINE
        )
        assert len(rows) > 5
        for bids, asks, expected in rows:
            levels = [(pair, is_ask) for is_ask, text in ((0, bids), (1, asks)) for pair in re.findall(r"\((-?\d+), (\d+)\)", text)]
            total = sum(mixed(mixed(2 * int(ticks) + is_ask) + int(lots)) for (ticks, lots), is_ask in levels)
            assert f"{total % 2**64:016x}" == expected


def mixed(number):
    """splitmix64, as the page writes it."""
    number = (number + 0x9E3779B97F4A7C15) % 2**64
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB % 2**64
    return number ^ (number >> 31)
