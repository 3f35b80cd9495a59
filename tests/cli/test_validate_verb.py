"""normbench validate: a sentence, an object, or nothing."""

from __future__ import annotations

import json


def test_json_tells_what_would_run(cli, config):
    done = cli("validate", config, "--sweep", "optimizer.lr=0.1,0.2", "--json")
    assert json.loads(done.out) == {
        "schema": 1,
        "config": str(config),
        "experiment": "tiny",
        "runs": 8,
        "norms": ["none", "batch"],
        "seeds": [0, 1],
    }


def test_quiet_says_nothing_of_a_config_that_is_right(cli, config):
    assert cli("validate", config, "-q") == (0, "", "")
    assert cli("validate", config, "-q", "--set", "seeds=0").code == 2
