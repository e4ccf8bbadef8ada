"""Facts of OKX, API v5: addresses, limits and peculiarities.

The regional hosts carry the same protocol: OKX serves customers of the EEA, and those of the US and Australia, from their own. They
are modes; any other address is given with `--url` and `--rest-url`.
"""

from alphapulse_cli.exchanges.protocol import BEFORE_SNAPSHOT, CHECKSUM, SEQUENCE, BlindSpot, Facts, Mode, Rate

NAME = "okx"
BOOKS, BOOKS5, BOOKS_EEA, BOOKS_US = "books", "books5", "books-eea", "books-us"  # modes
BOOK_DEPTH, PICTURE_DEPTH = 400, 5  # levels per side of the channels `books` and `books5`

INSTRUMENTS, INSTRUMENTS_QUERY = "/api/v5/public/instruments", "instType=SPOT"
CHECKSUM_DEPTH = 25  # levels per side that a checksum of an older recording covers
BOOKS_PATH, TRADES_PATH = "/api/v5/market/books", "/api/v5/market/trades"
VOLUMES = "/api/v5/market/tickers"
RECENT_TRADES = 500  # most trades of one GET
BOOKS_PER_CONNECTION = 29  # the exchange advises fewer than 30 depth channels on a connection
MOST_RESUBSCRIPTIONS, HOUR_NS = 100, 3_600_000_000_000  # per connection within an hour; the exchange's limit is 240

_BOOKS_PROOF = "seqId of every message follows the last, prevSeqId"
_GLOBAL = ("wss://ws.okx.com:8443/ws/v5/public", "https://www.okx.com")
_EEA = ("wss://wseea.okx.com:8443/ws/v5/public", "https://eea.okx.com")
_US = ("wss://wsus.okx.com:8443/ws/v5/public", "https://us.okx.com")


def _books(name: str, hosts: tuple[str, str]) -> Mode:
    return Mode(
        name,
        *hosts,
        validates=_BOOKS_PROOF,
        full_depth=False,
        default_depth=BOOK_DEPTH,
        proofs=(SEQUENCE, CHECKSUM),
        proof_depth=CHECKSUM_DEPTH,
        blind_spots=(BEFORE_SNAPSHOT,),
    )


FACTS = Facts(
    name=NAME,
    title="OKX",
    modes=(
        _books(BOOKS, _GLOBAL),
        Mode(
            BOOKS5,
            *_GLOBAL,
            validates="nothing: each message is the whole top 5",
            full_depth=False,
            default_depth=PICTURE_DEPTH,
            blind_spots=(BlindSpot("pictures", "a lost picture is not seen; the next one replaces the book"),),
            shows_loss=False,
        ),
        _books(BOOKS_EEA, _EEA),
        _books(BOOKS_US, _US),
    ),
    instruments_path=f"{INSTRUMENTS}?{INSTRUMENTS_QUERY}",
    instruments_weight=2,
    rest_weight=Rate.within(40, 2.0, burst=20),  # the exchange's limit for `books`; twice that for metadata
    connects=Rate.within(3, 1.0, burst=2),  # the exchange's limit: 3 a second from an address
    sends=Rate.within(480, 3600.0, burst=240),  # the exchange's limit: 480 requests an hour on a connection; pings do not count
    subscribe_batch=100,
    volumes_path=f"{VOLUMES}?{INSTRUMENTS_QUERY}",
    volumes_weight=2,
    books_per_connection=BOOKS_PER_CONNECTION,
    taker_fee="0.001",  # of www.okx.com
    quirks=(
        f"the client holds {BOOK_DEPTH} levels a side; the exchange removes those that leave the window",
        "seqId may jump by any step, and may begin anew below prevSeqId: the chain is prevSeqId = the last seqId",
        "a book without a change for a minute is confirmed by an empty message with seqId = prevSeqId",
        "where no snapshot comes within 5 s of the answer, or an update comes first, the book begins with a REST snapshot",
        "checksums are 0 since June 2026 and ignored then; others, of older recordings, are verified",
        "a trade may stand for several fills, as its count says; its id is the last one's",
        "a message `ping` is sent after 20 s of silence: the exchange closes a connection after 30",
        "it advises fewer than 30 books on a connection",
        "books-eea and books-us are its hosts for customers there; books5 on those: give --url and --rest-url",
        "spot only: sizes of swaps and futures are contracts",
        "its taker fee is higher in the EEA and the US: set your own",
    ),
)
