"""One rule and its playbook, as small as a file of them can be: on an alert of high bounces, pause the domain."""

from __future__ import annotations

_TEXT = """\
version: 1
rules:
  - name: high-bounce-rate
    summary: Pause the domain that bounces.
    match: [alertname = HighBounceRate, severity = critical]
    group_by: [domain]
    mode: MODE
    playbook: pause-domain
    with: { domain: "{{ labels.domain }}" }
playbooks:
  - name: pause-domain
    params: { domain: domain }
    steps:
      - name: Pause the domain's queues
        action: kumomta.suspend
        with: { node: mta1, domain: "{{ params.domain }}", reason: too many bounces }
        undo: { after: 2h }
"""


def pausing_a_domain(mode: str) -> str:
    """The text of the file, with the rule in this mode."""
    return _TEXT.replace("MODE", mode)
