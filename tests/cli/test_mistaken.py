"""A capture given where live books are read: the hint names the commands that read captures, and is not given for anything else."""

import pytest
from support.small_captures import done, frame, opened, write

from alphapulse_cli.cli import mistaken
from alphapulse_cli.edges.capture import files


@pytest.fixture
def folder(quick):
    """Folder with a capture, beside the program."""
    made = quick.directory / "captures"
    write(made, [opened(0), frame(1, "{}"), done(2)])
    made.chmod(0o700)
    return made


FILE, FOLDER = "{file}", "captures"


@pytest.mark.parametrize(
    "words",
    [
        ["tail", FILE],
        ["tail", FOLDER],
        ["tail", "deltas", FILE],
        ["tail", "trades", "--shm-dir", FOLDER],
        ["tail", "deltas", f"--shm-dir={FILE}"],
        ["tail", "deltas", "--symbols", FILE],
        ["segments", FOLDER],
        ["segments", "--shm-dir", FOLDER],
        ["reconstruct", "--shm-dir", FOLDER],
        ["arb", FOLDER],
        [FILE],
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_capture_is_recognized(quick, folder, words):
    [file] = folder.glob("*.zst")
    result = quick(*(word.replace(FILE, f"captures/{file.name}") for word in words))
    path = f"captures/{file.name}" if any(FILE in word for word in words) else FOLDER
    assert result.code in (1, 2, 3)
    assert result.stdout == ""
    assert f"hint: it is a capture: alphapulse replay {path} plays it" in result.stderr
    assert f"alphapulse capture cat {path} prints its frames" in result.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["tail", "deltas", "nonsense"], "alphapulse tail deltas --help"),
        (["tial", FOLDER], "did you mean tail"),
        (["reconstruct", FOLDER], "use only one of --at TIME"),
        (["segments", "--shm-dir", "{empty}"], "start a collector first"),
        (["capture", "info", FOLDER, "nonsense"], "name files that end in"),
        (["reconstruct", "--at", "2000-01-01T00:00:00Z", "{torn}"], "captures are files that end in"),
        (["reconstruct", "--every=1s", "{torn}"], "captures are files that end in"),
        (["verify", FOLDER, "--require", "nonesuch:1"], "requirements are: valid"),
        (["export", FOLDER, "--to", "csv", "--output", "captures/made", "--symbol", "captures"], "write BASE-QUOTE"),
        (["candles", FOLDER, "--symbol", "captures"], "write BASE-QUOTE"),
        (["explain", "last", FOLDER], "name a later time"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_other_errors_keep_their_hints(quick, folder, words, hint):
    empty = quick.directory / "empty"
    empty.mkdir(mode=0o700)
    torn = quick.directory / "torn.cap.zst"
    torn.write_bytes(b"")
    result = quick(*(word.replace("{empty}", str(empty)).replace("{torn}", str(torn)) for word in words))
    assert f"hint: {hint}" in result.stderr
    assert "it is a capture" not in result.stderr


def test_the_names_of_captures_are_the_writers():
    assert mistaken.SUFFIXES == (files.SUFFIX, files.INDEX_SUFFIX)


def test_a_long_common_beginning_of_two_paths_is_no_mention(tmp_path):
    """An error of the second path does not speak of the first, whose first 40 characters it has."""
    beginning = tmp_path / ("deep" * 20)
    captures = beginning / "captures"
    write(captures, [opened(0), done(1)])
    words = ["sql", str(captures), str(beginning / "data")]
    assert mistaken.hint(words, f"{beginning / 'data'} is no dataset") == ""
    assert "it is a capture" in mistaken.hint(words, f"{captures} is no dataset")
    assert "it is a capture" in mistaken.hint(words, f"unknown word: {words[1][:40]!r}")
