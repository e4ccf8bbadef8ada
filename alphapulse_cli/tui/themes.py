"""The themes: dark, light, high contrast and colour-blind safe. `t` goes from one to the next.

Beside Textual's own variables every theme defines these, the only ones that `alphapulse.tcss` uses:

    $bid $ask            the sides; up and down, buy and sell alike
    $bid-bar $ask-bar    bars behind sizes and depth
    $best                the best price over all exchanges
    $crossing            a bid above another exchange's ask
    $live $waiting $dead states
    $quiet               secondary text
    $stale               levels as last known: between $quiet and the background
    $flash               background of a level that changed just now
"""

from textual.color import Color
from textual.theme import Theme

NAMES = ("dark", "light", "contrast", "colour-blind")
STALE_PART = 0.66  # share of $quiet in $stale; the rest is the background


def _theme(
    name: str, ground: tuple[str, str, str, str], tints: tuple[str, str, str, str], ours: dict[str, str], *, dark: bool
) -> Theme:
    """Theme of colours "#rrggbb": `ground` is background, surface, panel, foreground; `tints` is primary, warning, success, error."""
    background, surface, panel, foreground = ground
    primary, warning, success, error = tints
    footer = {
        "footer-key-foreground": primary,
        "footer-background": surface,
        "footer-description-foreground": ours["quiet"],
    }
    return Theme(
        name=name,
        primary=primary,
        secondary=primary,
        accent=primary,
        warning=warning,
        success=success,
        error=error,
        foreground=foreground,
        background=background,
        surface=surface,
        panel=panel,
        dark=dark,
        variables=footer | ours | {"stale": Color.parse(background).blend(Color.parse(ours["quiet"]), STALE_PART).hex6},
    )


def _ours(bid: str, ask: str, bars: tuple[str, str], best: str, waiting: str, quiet: str, flash: str) -> dict[str, str]:
    return {
        "bid": bid,
        "ask": ask,
        "bid-bar": bars[0],
        "ask-bar": bars[1],
        "best": best,
        "crossing": best,
        "live": bid,
        "waiting": waiting,
        "dead": ask,
        "quiet": quiet,
        "flash": flash,
    }


THEMES = (
    _theme(
        "dark",
        ("#0e1217", "#141a21", "#1d2630", "#cfd6de"),
        ("#6cb6ff", "#e5b567", "#4cc38a", "#f2727f"),
        _ours("#4cc38a", "#f2727f", ("#14382b", "#431f27"), "#ffd866", "#e5b567", "#7d8896", "#2c3a4a"),
        dark=True,
    ),
    _theme(
        "light",
        ("#fcfcfa", "#f2f2ee", "#e4e4de", "#22272e"),
        ("#0a5eb0", "#8a5a00", "#11703f", "#b81f33"),
        _ours("#11703f", "#b81f33", ("#cdeadb", "#f7d3d6"), "#7a4b00", "#8a5a00", "#667079", "#fff0b8"),
        dark=False,
    ),
    _theme(
        "contrast",
        ("#000000", "#000000", "#303030", "#ffffff"),
        ("#00d7ff", "#ffff00", "#00ff87", "#ff8787"),
        _ours("#00ff87", "#ff8787", ("#005f30", "#7a0000"), "#ffff00", "#ffff00", "#d0d0d0", "#4e4e4e"),
        dark=True,
    ),
    _theme(  # the palette of Okabe and Ito: blue and orange differ for every kind of colour blindness
        "colour-blind",
        ("#0e1217", "#141a21", "#1d2630", "#dfe3e8"),
        ("#56b4e9", "#f0e442", "#56b4e9", "#e69f00"),
        _ours("#56b4e9", "#e69f00", ("#123a52", "#4a3300"), "#f0e442", "#cc79a7", "#8a94a0", "#30404f"),
        dark=True,
    ),
)
assert tuple(theme.name for theme in THEMES) == NAMES
