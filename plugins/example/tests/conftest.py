import pytest

# Failures of the suite are explained like those of tests here.
pytest.register_assert_rewrite("hubfold.testing")
