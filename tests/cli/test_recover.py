"""`hubfold recover`."""

from __future__ import annotations

from tests.building.program import Program, Scene


def test_recover_has_nothing_to_do_after_a_clean_run(hubfold: Program, scene: Scene) -> None:
    hubfold("consolidate", "hf", "models", "-y")
    done = hubfold("recover")
    assert (done.code, done.out) == (0, "nothing to recover\n")
    assert hubfold("recover", "--json").json == {"runs": [], "finished": [], "rolled_back": [], "left": []}
