"""Checks of a silent connection: the exchange sends nothing more but keeps the connection open."""

from alphapulse_cli.apps.conformance.finding import DoesNotApply, Fault
from alphapulse_cli.apps.conformance.healing import MakeLine, heal, start_live, states

REPLACED_WITHIN = 3000  # steps, 5 virtual minutes: a decoder may ask three times first, with pauses of 10, 20 and 40 s


def mute_connection(make: MakeLine) -> str:
    """A connection on which the exchange goes silent, answers to requests included, is replaced."""
    with make() as line:
        if line.facts.silence is not None:
            raise DoesNotApply("the feed promises heartbeats (`Mode.silence`): without them the session replaces the connection")
        start_live(line)
        line.is_mute = True
        for steps in range(REPLACED_WITHIN):
            if line.reconnections:
                heal(line, "a mute connection was replaced")
                return f"replaced after {steps / 10:.0f} s, healed"
            line.step()
    raise Fault(
        f"a connection on which nothing came for {REPLACED_WITHIN // 10} s was not replaced: {states(line)}; queue a Reconnect where a ping"
        " of the exchange's own stays without an answer, or a request did several times (`LastResort`)"
    )
