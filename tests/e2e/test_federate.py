# SPDX-License-Identifier: Apache-2.0
"""/federate to the letter: Debian's Prometheus and the aggregator scrape the same pages and are asked the same."""

import gzip
import http.server
import threading
import time
import urllib.parse

import pytest

from metrics_page import MetricsPage
from optipod_e2e import Prometheus, http as http_get, wait_until

EXTERNAL = {"zone": "berlin", "rack": "outside"}   # `rack` is a label of the pages, too

# Each sample brings its own time, so that both have it alike.
PAGE = r"""# TYPE power_watts gauge
power_watts{rack="r1",unit="psu"} 1e6 @
power_watts{rack="r2"} 0.30000000000000004 @
power_watts 5e-324 @
fan_rpm{node="mine",instance="mine",exported_node="there"} 900 @
fan_rpm{node=""} 901 @
odd{quoted="a \"b\" \\c\nd",empty="",utf8="grün",zzz="last"} NaN @
odd{quoted="+Inf"} +Inf @
odd{quoted="-Inf"} -Inf @
wait_seconds_bucket{le="0.001"} 7 @
wait_seconds_bucket{le="+Inf"} 123456789 @
wait_seconds_sum 1.5e-7 @
wait_seconds_count 123456789 @
job:power:sum 18446744073709551616 @
"""

# Selectors, and lists of them. Both must say the same: the status, and of a good one every line. Not here: names in quotes
# and a dot that matches a line's end, which are Prometheus 3's.
ASKED = [
    "power_watts", "power_watts{}", "{__name__='power_watts'}", '{__name__=~"power.*|odd"}', '{__name__!~"power.*",rack=""}',
    'power_watts{rack="r1"}', "power_watts{rack='r1'}", "power_watts{rack=`r1`}", 'power_watts{rack!="r1"}',
    'power_watts{rack=~"r."}', 'power_watts{rack=~"r"}', 'power_watts{rack!~"r.|"}', 'power_watts{rack=""}',
    'power_watts{rack!=""}', 'power_watts{rack=~""}', 'power_watts{rack=~".+"}', 'power_watts{rack=~".*",unit="psu",}',
    'power_watts{rack="r1",rack="r2"}', 'power_watts{rack="r1",rack=~".1"}', 'power_watts{nobody_has=""}',
    'odd{quoted=~"(?s)a .*"}', 'odd{quoted="a \\"b\\" \\\\c\\nd"}', 'odd{quoted="\\x2bInf"}', 'odd{utf8="gr\\u00fcn"}',
    'odd{utf8=~"gr.n"}', 'odd{quoted=~"(?i)\\\\+inf"}', 'odd{quoted=~"^-Inf$"}', 'odd{quoted=~"[+-]Inf"}',
    'fan_rpm{exported_node="mine"}', 'fan_rpm{exported_exported_node!=""}', 'fan_rpm{node="b"}', 'fan_rpm{exported_instance!=""}',
    "job:power:sum", ":no", "wait_seconds_bucket{le=\"+Inf\"}", "wait_seconds_bucket{le!~\"\\\\+.*\"}",
    "  power_watts  {  rack = \"r1\" , unit = \"psu\" }  ", "power_watts # a comment", "# a comment\npower_watts",
    # what /federate takes and a query does not
    '{__name__=~".*"}', '{__name__!=""}', '{nobody_has=""}', '{job=~"opti.*"}', "{}", '{__name__=""}', '{zone="berlin"}',
    'power_watts{__name__="power_watts"}', 'power_watts{__name__!="power_watts"}', 'power_watts{zone=""}',
    # lists
    ["power_watts", "fan_rpm"], ["power_watts", 'power_watts{rack="r1"}', '{unit="psu"}'], ["nobody", "odd"], ["odd", "-"], [],
    # no selectors
    "", " ", "power_watts{", "power_watts}", "power_watts{rack}", "power_watts{rack=}", 'power_watts{rack="r1"', "a-b", "a.b",
    "1a", "1", '"power_watts"', "power_watts{,}", 'power_watts{rack="r1",,}', '{rack="r1" unit="psu"}', 'power_watts{rack=r1}',
    'power_watts{rack=="r1"}', 'power_watts{rack>"r1"}', 'power_watts{rack="r1}', "power_watts[5m]", "power_watts offset 5m",
    "power_watts @ 1", "sum(power_watts)", "power_watts + power_watts", "power_watts or odd", "power_watts odd", "power_watts;",
    '{rack="\\q"}', '{rack="\\400"}', '{rack="\\ud800"}', '{rack=~"("}', '{rack=~"["}', '{rack=~"*"}', '{rack=~"(?=a)"}',
    '{rack=~"a{1001}"}', '{rack=~"\\\\C"}', "{1a='x'}", "{a:b='x'}", "gr\u00fcn", "{gr\u00fcn='x'}", "power_watts\0",
    # words of the language
    "sum", "by", "offset", "start", "end", "and", "or", "unless", "without", "count_values", "quantile", "on", "ignoring",
    "group_left", "group_right", "bool", "atan2", "inf", "NaN", "ON", "infx", '{on=""}', 'power_watts{by="",bool="",inf=""}',
]

# Queries as they are, with escapes that mean nothing and others.
RAW = ["match[]=%zz", "match[]=power_watts%", "match[]=power_watts%00", "x=%&match[]=odd", "match[]=&match[]=odd",
       "match%5B%5D=odd", "match[]=odd&match[]", "match=odd", "", "match[]=power_watts%7Brack%3D%22r1%22%7D"]


class Pages(MetricsPage):
    """Any path is the page, as it was when this was started."""
    taken_ms = 0

    def page(self):
        return PAGE.replace("@", str(self.taken_ms))


@pytest.fixture
def both(stack):
    """(aggregator, Prometheus) that have scraped nodes a and b."""
    Pages.taken_ms = round(time.time() * 1000) - 10_000
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            address = f"127.0.0.1:{server.server_port}"
            aggregator = stack.serve("aggregator", *(word for node in "ab" for word in ("--target", f"{node}={address}/{node}")),
                                     *(word for pair in EXTERNAL.items() for word in ("--external-label", "=".join(pair))))
            prometheus = Prometheus(stack, [
                {"job_name": f"job-{node}", "metrics_path": f"/{node}",
                 "static_configs": [{"targets": [address], "labels": {"node": node, "job": "optipod"}}]} for node in "ab"],
                external_labels=EXTERNAL)
            for program in (aggregator, prometheus.process):
                wait_until(lambda asked=program: lines(asked, ["job:power:sum"])[1].count("\njob:") == 2, "both are scraped", 60)
            yield aggregator, prometheus.process
        finally:
            server.shutdown()


def raw(program, query, **headers):
    return http_get(f"{program.url}/federate?{query}", headers=headers)


def lines(program, selectors):
    """(status, body without what a scrape is told by, which has each program's own times)"""
    reply = raw(program, urllib.parse.urlencode([("match[]", selector) for selector in selectors]))
    own = ("up", "scrape_", "optipod:")
    names, kept = [], []
    for line in reply.text.splitlines() if reply.status == 200 else ():
        name = line.split()[2] if line.startswith("# TYPE ") else line.split("{")[0]
        if name.startswith(own):
            continue
        if line.startswith("# TYPE "):
            names.append(name)
        kept.append((names.index(name), line))   # a line without its family's head fails
    assert names == sorted(names)
    # In a family the order is the server's storage's.
    return reply.status, "".join(f"{line}\n" for _, line in sorted(kept))


def test_every_selector_is_answered_as_by_prometheus(both):
    aggregator, prometheus = both
    wrong, good = [], 0
    for asked in ASKED:
        selectors = asked if isinstance(asked, list) else [asked]
        ours, theirs = (lines(program, selectors) for program in both)
        good += theirs[0] == 200 and theirs[1] != ""
        if ours != theirs:
            wrong.append(f"{asked!r}: ours {ours}, Prometheus {theirs}")
    for query in RAW:
        ours, theirs = (raw(program, query).status for program in both)
        if ours != theirs:
            wrong.append(f"{query!r}: ours {ours}, Prometheus {theirs}")
    assert not wrong, "\n".join(wrong)
    assert good > 35
    # What it compares is not nothing.
    assert lines(aggregator, ["{__name__=~'.+'}"])[1].count("\n") == 2 * 13 + 7
    assert lines(prometheus, ['fan_rpm{exported_exported_node="mine",node="a"}'])[1].count("rack=\"outside\"") == 1


ACCEPTED = [
    "", "*/*", "text/plain", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "application/json",
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "application/vnd.google.protobuf;proto=other;encoding=delimited"]


def test_its_form_is_negotiated_as_by_prometheus(both):
    query = urllib.parse.urlencode({"match[]": 'power_watts{rack="r1",node="a"}'})
    for accept in ACCEPTED:
        for encoding in ("", "gzip", "identity"):
            ours, theirs = (raw(program, query, **({"Accept": accept} if accept else {}), **{"Accept-Encoding": encoding})
                            for program in both)
            assert ours.status == theirs.status == 200
            assert ours.headers["content-type"].replace(" ", "") == theirs.headers["content-type"].replace(" ", "")
            # Of one series, so that there is one order. Who packs such a short body does so for nothing.
            packed = theirs.headers.get("content-encoding") == "gzip"
            assert ours.body == (gzip.decompress(theirs.body) if packed else theirs.body), (accept, encoding)
