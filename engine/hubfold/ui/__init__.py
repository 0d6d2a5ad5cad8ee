"""The view to choose from: what there is, what is marked of it, and the plan that then runs.

It asks the engine and shows; texts of previews and questions are those of the commands, which lend them (`lent`).
"""
