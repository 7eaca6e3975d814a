# SPDX-License-Identifier: Apache-2.0
"""What a target's page becomes, and which limits it meets, is what Debian's Prometheus makes of it."""

import json
import time

from aggregator_peers import federated, nodes_of, who_is_up
from metrics_page import served
from optipod_e2e import Prometheus, series, wait_until

NOW = round(time.time() * 1000)


def timed(page):
    return page.replace("NOW", str(NOW)).replace("BEFORE", str(NOW - 10_000)).encode()


# Series shown more than once, and how many samples are left out as repeated. A sample without a time behind one
# that has one is not here: Prometheus takes it up to 2.51, and leaves it out since, as we do.
TWICE = [
    (b"a 1\na 2\nb 3\n", 1), (b"a 1\na 1\na 1\n", 2), (b'a{x="1",y="2"} 1\nb 7\na{y="2",x="1"} 2\n', 1),
    (b'a{x=""} 1\na 2\n', 1), (timed("a 1 BEFORE\na 2 NOW\n"), 0), (timed("a 1 NOW\na 2 BEFORE\n"), 0),
    (timed("a 1 NOW\na 2 NOW\n"), 1), (timed("a 1\na 2 BEFORE\n"), 0),
    (timed("a 1 BEFORE\nb 1\na 2 NOW\na 3 NOW\nb 2\n"), 2),
]


def by_job(samples):
    """{job: {(name, labels of the page): value}}, without how long it took."""
    jobs = {}
    for (name, pairs), value in samples.items():
        labels = dict(pairs)
        if name in ("a", "b", "up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"):
            page = frozenset((key, text) for key, text in labels.items() if key not in ("instance", "job", "node"))
            jobs.setdefault(labels["job"], {})[name, page] = value
    return jobs


def test_a_series_shown_twice_is_kept_once_counted_and_said_once(stack):
    jobs = [str(number) for number in range(len(TWICE))]
    with served([page for page, _ in TWICE]) as address:
        lists = stack.directory / "targets.json"
        lists.write_text(json.dumps([{"targets": [address],
                                      "labels": {"job": job, "node": job, "__metrics_path__": f"/{job}"}} for job in jobs]))
        aggregator = stack.serve("aggregator", "--file-sd", lists)
        prometheus = Prometheus(stack, [{"job_name": job, "metrics_path": f"/{job}",
                                         "static_configs": [{"targets": [address]}]} for job in jobs])
        # Again, too: then the page is compared, and only its numbers are read.
        wait_until(lambda: all(node["scrapes"] >= 3 for node in nodes_of(aggregator).values()), "scraped again", 60)

        def of_prometheus():
            found = by_job({(labels.pop("__name__"), frozenset(labels.items())): value
                            for labels, _, value in prometheus.query('{job=~".+"}')})
            return found if sorted(found) == jobs else None
        theirs = wait_until(of_prometheus, "Prometheus has scraped all of them", 60)
        ours = by_job({key: value for key, (value, _) in federated(aggregator, '{__name__!~"optipod:.*"}').items()})
        assert ours == theirs
        assert all(job["up", frozenset()] == 1 for job in theirs.values())
        found = aggregator.metrics()
        assert series(found, "optipod_aggregator_samples_repeated_total")[0] >= 3 * sum(left for _, left in TWICE)
        assert aggregator.log().count("shows a series more than once") == sum(left > 0 for _, left in TWICE)


# (limit, the least that takes the page, the page, the target's label node)
LIMITS = [("label_limit", 5, 'a{b="1"} 1\n', "n"), ("label_limit", 6, 'a{b="1",node="x",c=""} 1\n', "n"),
          ("label_name_length_limit", 8, "a 1\n", "n"),               # __name__
          ("label_name_length_limit", 13, 'a{node="x"} 1\n', "n"),     # exported_node
          ("label_value_length_limit", 30, "a 1\n", "n" * 30), ("label_value_length_limit", 25, "a" * 25 + " 1\n", "n")]


def test_label_limits_count_what_the_server_counts(stack):
    """With the target's labels, those renamed for them, and the name; nothing more."""
    with served([page.encode() for _, _, page, _ in LIMITS]) as address:
        configs, aggregators = [], {}
        for case, (limit, least, _, node) in enumerate(LIMITS):
            for value in (least - 1, least):
                configs.append({"job_name": f"{case}:{value}", "metrics_path": f"/{case}", limit: value,
                                "static_configs": [{"targets": [address], "labels": {"node": node}}]})
                aggregators[f"{case}:{value}"] = stack.serve(
                    "aggregator", "--target", f"{node}={address}/{case}", "--" + limit.replace("_", "-"), str(value))
        prometheus = Prometheus(stack, configs)

        def of_prometheus():
            found = {target["scrapePool"]: target["health"] for target in prometheus.targets()}
            return None if "unknown" in found.values() or len(found) < len(configs) else found
        theirs = wait_until(of_prometheus, "Prometheus has scraped all of them", 60)
        ours = {job: "up" if who_is_up(aggregator) else "down" for job, aggregator in aggregators.items()}
        assert ours == theirs
        assert sorted(theirs.values()) == ["down"] * len(LIMITS) + ["up"] * len(LIMITS)
