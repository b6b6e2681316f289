"""Where Alertmanager would send an alert of which only some labels are known."""

from __future__ import annotations

import pytest

from remediator.doctor.routes import Ways, ways

KNOWN = {"alertname": "A", "severity": "critical"}


@pytest.mark.parametrize(
    ("routes", "wanted"),
    [
        ([], Ways(sure=("top",))),
        ([{"receiver": "a", "matchers": ["alertname = A"]}], Ways(sure=("a",))),
        ([{"receiver": "a", "matchers": ["alertname = B"]}], Ways(sure=("top",))),
        ([{"receiver": "a", "match": {"alertname": "A"}}], Ways(sure=("a",))),
        ([{"receiver": "a", "match_re": {"alertname": "A|B"}}, {"receiver": "b"}], Ways(sure=("a",))),
        ([{"receiver": "a", "continue": True}, {"receiver": "b"}, {"receiver": "c"}], Ways(sure=("a", "b"))),
        ([{"receiver": "a", "continue": True}], Ways(sure=("a",))),
        ([{"receiver": "a", "routes": [{"receiver": "b", "matchers": ["severity = info"]}]}], Ways(sure=("a",))),
        ([{"routes": [{"matchers": ["severity = critical"]}]}], Ways(sure=("top",))),
        # What hangs on a label that is not known may come, and all that follows may then not.
        ([{"receiver": "a", "matchers": ["team = x"]}], Ways(perhaps=("a", "top"))),
        ([{"receiver": "a", "matchers": ["team = x"]}, {"receiver": "b"}], Ways(perhaps=("a", "b"))),
        (
            [{"receiver": "a", "matchers": ["team = x"], "continue": True}, {"receiver": "b"}],
            Ways(sure=("b",), perhaps=("a",)),
        ),
        ([{"receiver": "a", "matchers": ["team ="]}, {"receiver": "b"}], Ways(perhaps=("a", "b"))),
        ([{"receiver": "a", "matchers": ["not a matcher"]}], Ways(perhaps=("a", "top"))),
    ],
)
def test_a_way_is_sure_or_a_doubt(routes: list[object], wanted: Ways) -> None:
    assert ways({"route": {"receiver": "top", "routes": routes}}, KNOWN) == wanted
