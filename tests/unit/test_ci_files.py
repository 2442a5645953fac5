"""The CI files of docs/ci.md, as they stand there, against the schemas that GitHub and GitLab publish."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs" / "ci.md"
GITHUB, GITLAB = re.findall(r"^```yaml\n(.*?)^```", DOCS.read_text(), re.S | re.M)
SCHEMAS = {"vendor.github-workflows": GITHUB, "vendor.gitlab-ci": GITLAB}


def linted(text: str, schema: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """By the schemas that lie in the installed package: nothing is fetched."""
    file = folder / "it.yml"
    file.write_text(text)
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_they_are_what_the_schema_takes(schema: str, tmp_path: Path) -> None:
    done = linted(SCHEMAS[schema], schema, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "there", "instead"),
    [("vendor.github-workflows", "timeout-minutes: 10\n", "timeout_minutes: 10\n"),
     ("vendor.gitlab-ci", "when: manual\n", "when: by hand\n")],
)  # fmt: skip
def test_a_slip_in_them_is_seen(schema: str, there: str, instead: str, tmp_path: Path) -> None:
    text = SCHEMAS[schema]
    assert there in text
    done = linted(text.replace(there, instead), schema, tmp_path)
    assert done.returncode == 1 and "Schema validation errors" in done.stdout, done.stdout + done.stderr
