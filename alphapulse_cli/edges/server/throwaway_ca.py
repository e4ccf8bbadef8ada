"""Temporary certificate authority for servers on loopback, for testing clients that require TLS.

    with throwaway_ca() as made:                # made by the library trustme, extra `tls`
        Listener(…, tls=made.context)           # a certificate for localhost, 127.0.0.1 and ::1
        made.ca_file                            # what a client must trust: SSL_CERT_FILE=<ca_file>

The file lies in a directory of our user's alone and holds the authority's certificate, no key. The keys exist in memory, except for the
moment in which the ssl module reads the server's from a file of mode 0600. At the end the file is removed; nothing installed ever
trusts the authority.
"""

import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alphapulse_cli.errors import UsageError

HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ThrowawayCa:
    """TLS settings of a server, and the file of the authority that its clients must trust."""

    context: ssl.SSLContext
    ca_file: Path


@contextmanager
def throwaway_ca() -> Iterator[ThrowawayCa]:
    """Make an authority and a certificate for loopback, for as long as the block runs. UsageError without the library."""
    try:
        import trustme
    except ImportError:
        raise UsageError("TLS needs the package trustme, which is not installed", "pip install 'alphapulse[tls]'") from None
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS).configure_cert(context)
    directory = Path(tempfile.mkdtemp(prefix="alphapulse-ca-"))
    try:
        ca_file = directory / "ca.pem"
        authority.cert_pem.write_to_path(str(ca_file))
        yield ThrowawayCa(context, ca_file)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
