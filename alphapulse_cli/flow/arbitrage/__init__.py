"""Arbitrage between books: orders that could have been filled, and the sums behind each.

Market (a book, its fee, its exchange's rules) ─► Candidate: a pair of exchanges, or a cycle of one
     └─ best prices cross net of fees? ─► live, young, in step? ─► walk the books ─► opened · changed · closed

exact, terms                                     decimals, fees, order sizes, rates: made integers once
depth_walk                                       two books: the size that earns most
routes, cycle_candidate                          cycles of three books of one exchange
ladder, round_trip, triangle                     their walk: the first order that earns most
conversion                                       price of one quote currency in another
candidate                                        pairs of exchanges that may become an opportunity
detector, opportunity                            candidates looked at, opportunities reported
"""
