"""Print the best bid and ask of every book of every collector here, whenever they change. Ends after the seconds given, or never."""

import sys

from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.readers.sets import SetReaders
from alphapulse_cli.shm.directory import open_directory


def main(duration_s):
    told: dict[tuple[str, str], object] = {}  # (set, symbol) -> what was printed last
    with open_directory(None) as directory:

        def attach(name, _exchange, start):
            return SetFollower(directory, name, start=start, label="best quotes")

        def read(now_ns):
            lines = []
            for name, follower in sets.readers.items():
                follower.poll(now_ns)
                for symbol, replica in follower.books.items():
                    state, _ = follower.state(symbol, now_ns)
                    quote = state.name, replica.book.best_bid(), replica.book.best_ask()
                    if told.get((name, symbol)) != quote:
                        told[name, symbol] = quote
                        lines.append(f"{name} {symbol} {state.name} {quote[1]} {quote[2]}")
            return lines

        sets = SetReaders(directory, Wanted(), attach)
        for line in filter(None, sets.items(read, duration_s)):
            print(line, flush=True)
        sets.close()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else None)
