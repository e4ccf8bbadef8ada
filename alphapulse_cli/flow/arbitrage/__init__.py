"""Arbitrage between books: what could really have been traded, and its working.

Market (a book, its fee, its exchange's rules) ─► Candidate: a pair of exchanges, or a cycle of one
     └─ best prices cross net of fees? ─► live, young, in step? ─► walk both books ─► opened · changed · closed

exact, terms         decimals, fees, order sizes, rates: made integers once
depth_walk, triangle the size that earns most
conversion           what one quote currency is worth in another
candidate, detector  which books are looked at, and what becomes of an opportunity
"""
