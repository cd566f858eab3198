"""An offense that somebody changes in the database: a finding, and no stop for the alerts behind it."""
import lab as L
import pytest
from test_offense import BOTH, caught_up, detection, offenses, person  # noqa: F401


@pytest.fixture(scope="module")
def rule(lab):
    assert detection(lab, "both", BOTH).returncode == 0
    L.wait_for("the rules to be in force", lambda: lab.ctl("detection", "status")["detections"] == 1)
    caught_up(lab)


def test_a_changed_offense_holds_up_no_alert(lab, person):
    ssh = person("wendy")
    ssh("echo", "second-word")
    L.wait_for("both alerts", lambda: [o["alerts"] for o in offenses(lab, "wendy")] == [2])
    lab.sql("UPDATE offenses SET severity = 1 WHERE about = 'wendy'")
    ssh("echo", "second-word")
    L.wait_for("another offense", lambda: [o["alerts"] for o in offenses(lab, "wendy")] == [2, 2])
    L.wait_for("the finding", lambda: lab.ctl("audit", "list", "--kind", "row.tampered"))
    assert lab.ctl("detection", "status")["alerts_waiting"] == 0
