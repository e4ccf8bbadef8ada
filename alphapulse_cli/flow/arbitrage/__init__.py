"""Arbitrage between books: what could really have been traded, and its working.

Market (a book, its fee, its exchange's rules) ─► Candidate: a pair of exchanges, or a cycle of one
     └─ best prices cross net of fees? ─► live, young, in step? ─► walk the books ─► opened · changed · closed

exact, terms                            decimals, fees, order sizes, rates: made integers once
depth_walk                              two books: the size that earns most
cycles, ladder, round_trip, triangle    the same round three books of one exchange
conversion                              what one quote currency is worth in another
candidate, cycle                        what may become an opportunity
detector, opportunity                   which of them are looked at, and what is told
"""
