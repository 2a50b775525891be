"""How several data organisations train together: a folder for each schedule, and the table of all (`registry`).

A schedule answers who trains in a step, what is summed or averaged of whose adapters, and what is handed on; both
halves, the unsplit run, the planner and the hub's pages ask it. Torch-free: `splitcore/step` does what it decides.
"""
