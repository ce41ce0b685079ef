"""Random faults fall on a cluster while its users work. Afterwards nothing is lost, runs twice, or is left over.

``STACKLING_SEEDS="3 17"`` has other schedules than those below; a test that failed says which faults there were.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.lab.faults import carry_out, schedule
from tests.lab.story import MANY, Story, Writers, make_whole
from tests.lab.users import Users

pytestmark = [pytest.mark.lab, pytest.mark.survival, pytest.mark.root, pytest.mark.crash, pytest.mark.slow]
SEEDS = [int(word) for word in os.environ.get("STACKLING_SEEDS", "1 2 3 4").split()]


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_comes(story: Story, seed: int) -> None:
    cloud = story.cloud
    wanted = schedule(seed, [machine.name for machine in cloud.lab.machines])
    print(f"[faults] {wanted}")
    writers, users = Writers(cloud), Users(cloud, seed)
    try:
        time.sleep(5)
        carry_out(cloud, wanted)
        over = time.monotonic()
        make_whole(cloud)
        story.tell("whole again after the last of them", time.monotonic() - over)
        time.sleep(5)
    finally:
        writers.stop()
        users.stop()
    lost, revived = writers.lost()
    print(f"[count] {len(writers.created)} ports created, {len(writers.deleted)} deleted, {writers.errors} errors; "
          f"{users.lives} servers lived, {users.errors} errors")
    assert not lost
    assert not revived
    writers.clear()
    users.clear(MANY)
