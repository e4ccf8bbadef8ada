"""Evidence for a gap in a capture: what was due and what came, the book before and after, what was asked, what readers saw.

    recordings ─► search: a watching player, fast ─► Incident ─► gather: the same, row by row ─► Evidence ─► the page, or JSON

It is the player that replays a capture, so it judges each frame as the collector did. Ids of incidents are those of `verify`.
"""
