import hashlib
import json
import os

from hubfold_gpt4all import LIST, Gpt4AllBackend

from hubfold.testing import BackendContract, Built

WEIGHTS = b"GGUF" + b"weights" * 1000


def fill(folder):
    (folder / "small.Q4_0.gguf").write_bytes(WEIGHTS)
    (folder / "mine.gguf").write_bytes(b"GGUF of my own")
    (folder / "incomplete-large.gguf").write_bytes(b"GGUF")
    listed = [
        {"filename": "small.Q4_0.gguf", "md5sum": hashlib.md5(WEIGHTS).hexdigest()},
        {"filename": 1},
        "odd",
    ]
    (folder / LIST).write_text(json.dumps(listed))
    return Built(folder, {"small.Q4_0.gguf", "mine.gguf"})


class TestGpt4All(BackendContract):
    backend = Gpt4AllBackend

    def build(self, folder):
        return fill(folder)

    def program_is_content(self, built):
        """It lists what `QDir` finds that is a file and no symlink of nothing, and reads its head."""
        for path in built.content:
            with open(built.root / path, "rb") as file:
                assert file.read(4) == b"GGUF"
            assert not os.path.islink(built.root / path)

    def test_only_what_the_list_names_has_a_claim(self, built):
        claims = {os.path.basename(one.path): dict(one.claims) for one in self.scan(built)[0]}
        assert claims == {"small.Q4_0.gguf": {"md5": hashlib.md5(WEIGHTS).hexdigest()}, "mine.gguf": {}}
