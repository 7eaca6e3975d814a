# SPDX-License-Identifier: Apache-2.0
"""kube-scheduler's log (--logging-format=json -v=10): what it decided, and what it complained about."""

import collections
import json

EXTENDER_FAILED = "Failed to run extender's priority function. No score given by this extender."


class Log:
    """What the log says so far. A line that is not JSON (a panic, a usage text) is a complaint."""

    def __init__(self, text):
        self.extender_scores = collections.defaultdict(dict)   # pod → {node: score 0..10 as we answered}
        self.totals = collections.defaultdict(dict)            # pod → {node: sum over all scorers}
        self.complaints = []                                   # errors and warnings, whole lines
        self.extender_failures = []                            # of prioritize, told only at V(5)
        self.entries = 0
        for line in text.splitlines():
            self._read(line)

    def _read(self, line):
        try:
            entry = json.loads(line)
            message = entry["msg"]
        except (ValueError, TypeError, KeyError):
            self.complaints.append(line)
            return
        self.entries += 1
        if message == "Extender scored node for pod":
            self.extender_scores[self._pod(entry)][entry["node"]] = entry["score"]
        elif message == "Calculated node's final score for pod":
            self.totals[self._pod(entry)][entry["node"]] = entry["score"]
        elif message == EXTENDER_FAILED:
            self.extender_failures.append(line)
        # An error has no verbosity; a warning is an Info at 0, which says little else.
        if "v" not in entry or "err" in entry:
            self.complaints.append(line)

    @staticmethod
    def _pod(entry):
        pod = entry["pod"]
        return f"{pod['namespace']}/{pod['name']}" if isinstance(pod, dict) else pod

    def of_extenders(self):
        """Every line of complaint that concerns an extender."""
        return self.extender_failures + [line for line in self.complaints if "xtender" in line]


def read(scheduler):
    """The log of this process so far. One that tells of no decision is no evidence, and fails."""
    log = Log(scheduler.log())
    assert log.totals, f"{scheduler.name}: its log tells of no scored node"
    return log
