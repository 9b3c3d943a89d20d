import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.faults
def test_short_round_of_the_campaign():
    script = Path(__file__).with_name("campaign.py")
    command = [sys.executable, str(script), "--seed", "7", "--studies", "1", "--kills", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "0 problems" in done.stdout.splitlines()[-1]
