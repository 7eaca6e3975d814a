# SPDX-License-Identifier: Apache-2.0
"""check-metrics says of a page what the field's own programs say: Debian's Prometheus server scraping it,
promtool, and client_python's OpenMetrics parser. Where it does not, the table here and docs/exposition.md
say why."""

import contextlib
import math
import pathlib
import subprocess
import threading
import wsgiref.simple_server

import prometheus_client
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from aggregator_peers import federated
from metrics_page import served
from optipod_e2e import Prometheus, program_path, wait_until

CASES = pathlib.Path(__file__).parent.parent / "common/cases/openmetrics.txt"
GOOD, BAD = True, False

# (page, whether it is taken[, what Prometheus 2.42 says instead])
TEXT = [
    # lines and blanks
    (b"", GOOD), (b"\n", GOOD), (b"\n\n \t\n", GOOD), (b"a 1", GOOD), (b"a 1 \n", GOOD), (b"a 1\t\n", GOOD),
    (b"a\t1\t5\t\n", GOOD), (b"a   1   5\n", GOOD), (b"a 1 5 \n", GOOD), (b"a 1\r\n", BAD),
    (b"a\n", BAD), (b"a", BAD), (b"a 1 2 3\n", BAD), (b"a 1 b\n", BAD), (b"\xef\xbb\xbfa 1\n", BAD),
    (b"1a 1\n", BAD), (b"=\n", BAD), (b"a-b 1\n", BAD), (b"a.b 1\n", BAD), (b":a:b 1\n", GOOD), (b"_ 1\n", GOOD),
    # the server takes blanks before a name for a part of it
    (b"  a 1\n", GOOD, BAD), (b"\ta 1\n", GOOD, BAD), (b" # TYPE a gauge\na 1\n", GOOD),
    # labels
    (b'a{b="c"} 1\n', GOOD), (b'a{b="c"}1\n', GOOD), (b'a {b="c"} 1\n', GOOD), (b'a{b="c",} 1\n', GOOD),
    (b'a{ b = "c" , d\t=\t"e" } 1\n', GOOD), (b'a{b="c", } 1\n', GOOD), (b"a{} 1\n", GOOD), (b"a{}1\n", GOOD),
    (b'a{,} 1\n', BAD), (b'a{b="c",,} 1\n', BAD), (b'a{b="c"\n} 1\n', BAD), (b'a{b="c"}\n', BAD),
    (b"a{b} 1\n", BAD), (b"a{b=} 1\n", BAD), (b"a{b=c} 1\n", BAD), (b"a{b='c'} 1\n", BAD), (b'a{b="c} 1\n', BAD),
    (b'a{1b="c"} 1\n', BAD), (b'a{b:c="d"} 1\n', BAD), (b'a{="c"} 1\n', BAD), (b'a{b="c" 1\n', BAD),
    (b'{b="c"} 1\n', BAD), (b"{} 1\n", BAD), (b'a{b="c"}{d="e"} 1\n', BAD), (b'a{b="1",b="2"} 1\n', BAD),
    (b'a{b=""} 1\n', GOOD), (b'a{b="c"d="e"} 1\n', BAD, GOOD), (b'a{b="c" d="e"} 1\n', BAD, GOOD),
    (b'a{__name__="b"} 1\n', BAD),
    # strings
    (b'a{b="\\\\ \\" \\n"} 1\n', GOOD), (b'a{b="\\t\\q"} 1\n', GOOD), (b'a{b="x\ny"} 1\n', GOOD),
    (b'a{b="x\0y"} 1\n', GOOD), (b'a{b="\xc3\xa4"} 1\n', GOOD), (b'a{b="\xff"} 1\n', BAD),
    (b'a{b="\xed\xa0\x80"} 1\n', BAD), (b'a{b="c\\"} 1\n', BAD), (b'a{b="}"} 1\n', GOOD), (b'a{b="# x"} 1\n', GOOD),
    # NUL: the server's lexer stops in silence and loses the rest
    (b"a 1\n\0b 2\n", BAD, GOOD),
    # values
    *((b"a " + number + b"\n", GOOD) for number in (
        b"0", b"-0", b"+1", b".5", b"1.", b"-.5", b"1e5", b"1E+05", b"1e-400", b"007", b"Inf", b"+inf", b"-INF",
        b"infinity", b"NaN", b"nan", b"NAN", b"5e-324", b"18446744073709551616", b"1" + b"0" * 300, b"0e999")),
    *((b"a " + number + b"\n", BAD) for number in (
        b"x", b"0x10", b"0x1p-3", b"1_000", b"1e", b"1e+", b"e5", b".", b"-", b"--1", b"+-1", b"1.2.3", b"1,5",
        b"1f", b"infin", b"nan(1)", b"+NaN", b"-nan", b"1e400", b"-1e400", b'"1"', b"1e5.5", b"1" + b"0" * 400)),
    # timestamps
    (b"a 1 0\n", GOOD), (b"a 1 1700000000000\n", GOOD), (b"a 1 -5\n", BAD), (b"a 1 +5\n", BAD), (b"a 1 1.5\n", BAD),
    (b"a 1 1e3\n", BAD), (b"a 1 9223372036854775808\n", BAD), (b"a 1 5x\n", BAD),
    # metadata and comments
    *((b"# TYPE a " + kind + b"\na 1\n", GOOD) for kind in (b"counter", b"gauge", b"summary", b"untyped",
                                                             b"histogram")),
    *((b"# TYPE a " + kind + b"\na 1\n", BAD) for kind in (b"COUNTER", b"info", b"stateset", b"gaugehistogram", b"",
                                                            b"gauge ", b"timer")),
    (b"# TYPE a gauge\na 1\n# TYPE a counter\n", GOOD), (b"# HELP a x\n# HELP a y\na 1\n", GOOD),
    (b"# HELP a \\\\ \\n \\q\na 1\n", GOOD), (b"# HELP a n\0l\na 1\n", GOOD), (b"# HELP a \xff\na 1\n", BAD),
    (b"# HELP a\n", GOOD), (b"# TYPE a\n", BAD), (b"# TYPE 1a gauge\n", BAD), (b"# HELP \n", BAD),
    (b"#TYPE c nonsense\n", GOOD), (b"# TYPEX d nonsense\n", GOOD), (b"# HELP\n", GOOD), (b"# EOF\na 1\n", GOOD),
    (b"#\n", GOOD), (b'# "quotes\n', GOOD), (b"# other \xff\na 1\n", GOOD), (b"#\tTYPE\te\tgauge\n", GOOD),
    # what only OpenMetrics has, and what only it forbids
    (b'a_bucket{le="1"} 1 # {t="x"} 0.5\n', BAD), (b'# TYPE h histogram\nh_bucket{le="1"} -5\nh_sum 1\n', GOOD),
    (b"a 1\nb 1\na 2\n", GOOD),
    # UTF-8 names came with Prometheus 3
    (b'{"a.b"} 1\n', GOOD, BAD), (b'{"a.b","c.d"="e",f="g"} 1\n', GOOD, BAD), (b'{f="g","a.b"} 1 5\n', GOOD, BAD),
    (b'# TYPE "a.b" gauge\n{"a.b"} 1\n', GOOD, BAD), (b'a{"b"} 1\n', BAD), (b'{"a","b"} 1\n', BAD), (b'{""} 1\n', BAD),
    (b'{"a\xff"} 1\n', BAD),
]


def check(page, *options):
    """(taken, what was said)"""
    done = subprocess.run([program_path("aggregator"), "check-metrics", *options], input=page, capture_output=True,
                          timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    if done.returncode == 1:
        place, line, column, reason = done.stderr.decode().split(":", 3)
        assert place == "stdin" and int(line) >= 1 and int(column) >= 1 and reason.strip(), done.stderr
    return done.returncode == 0, done.stderr.decode()


def scraped(stack):
    """Case number -> (up, last error), by a real server."""
    with served([page for page, *_ in TEXT]) as address:
        prometheus = Prometheus(stack, [
            {"job_name": str(number), "metrics_path": f"/{number}", "honor_timestamps": False,
             "static_configs": [{"targets": [address]}]} for number in range(len(TEXT))], interval="5s")
        found = {}   # one scrape each; that of a busy machine which had no answer in time says nothing of the page

        def each_answered():
            found.update({int(target["scrapePool"]): (target["health"] == "up", target["lastError"])
                          for target in prometheus.targets()
                          if target["health"] != "unknown" and "deadline exceeded" not in target["lastError"]})
            return len(found) == len(TEXT)
        wait_until(each_answered, "each page was scraped", 90)
        return found


def test_text_pages_as_the_server_takes_them(stack):
    server = scraped(stack)
    assert len(server) == len(TEXT)
    wrong = []
    for number, (page, taken, *instead) in enumerate(TEXT):
        ours, said = check(page)
        theirs, error = server[number]
        if ours != taken or theirs != (instead or [taken])[0]:
            wrong.append(f"{page!r}: ours {ours} ({said.strip()}), Prometheus {theirs} ({error})")
    assert not wrong, "\n".join(wrong)


def open_metrics_cases():
    """(title, page)"""
    for case in CASES.read_text(encoding="utf-8").split("\n== ")[1:]:
        title, _, page = case.partition("\n")
        page = page if not page or page.endswith("\n") else page + "\n"
        yield title, page + "# EOF\n"


def client_takes(page):
    try:
        for _ in text_string_to_metric_families(page):
            pass
    except Exception:  # pylint: disable=broad-except  # it raises what comes along: ValueError, KeyError, IndexError
        return False
    return True


def test_open_metrics_pages_as_client_python_takes_them():
    wrong, count = [], 0
    for title, page in open_metrics_cases():
        count += 1
        ours, said = check(page.encode(), "--openmetrics")
        if ours != title.startswith("good"):
            wrong.append(f"{title}: ours {ours} ({said.strip()})")
        theirs = client_takes(page)
        if (theirs != ours) != ("though client_python" in title):
            wrong.append(f"{title}: ours {ours}, client_python {theirs}")
    assert count > 100
    assert not wrong, "\n".join(wrong)


@contextlib.contextmanager
def python_program():
    """A program with client_python's own metrics and one of each type; yields its address and the types of the
    pages that it gave."""
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.PlatformCollector(registry)
    prometheus_client.ProcessCollector(registry=registry)
    counter = prometheus_client.Counter("work", "Work \\ with a\nbreak.", ["kind"], registry=registry)
    counter.labels('quoted "x"').inc(2.5, exemplar={"trace": "t"})
    prometheus_client.Gauge("level_bytes", "A level.", unit="bytes", registry=registry).set(-1e-9)
    prometheus_client.Gauge("nothing", "No number.", registry=registry).set(float("nan"))
    prometheus_client.Summary("size", "Sizes.", registry=registry).observe(3)
    prometheus_client.Histogram("wait_seconds", "Waits.", registry=registry).observe(0.3, exemplar={"trace": "t"})
    prometheus_client.Info("build", "A build.", registry=registry).info({"version": "1"})
    prometheus_client.Enum("state", "A state.", states=["up", "down"], registry=registry).state("down")
    types = []

    def application(environ, start):
        def note(status, headers):
            types.extend(value for name, value in headers if name == "Content-Type")
            return start(status, headers)
        return app(environ, note)

    class Quiet(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *_args):
            pass

    app = prometheus_client.make_wsgi_app(registry)
    with wsgiref.simple_server.make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", types
        finally:
            server.shutdown()
            thread.join()


def test_a_python_programs_page_gives_what_the_server_makes_of_it(stack):
    def kept(found):
        """What does not change, once the page has been scraped."""
        return "work_total" in {name for name, _ in found} and \
            {key: value for key, value in found.items() if not key[0].startswith(("process_", "scrape_"))}

    with python_program() as (address, types):
        aggregator = stack.serve("aggregator", "--target", f"n={address}")
        prometheus = Prometheus(stack, [{"job_name": "optipod", "static_configs": [{"targets": [address]}]}])

        def of_aggregator():
            found = federated(aggregator, '{node="n",__name__!~"optipod:.*"}')
            return kept({(name, labels - {("node", "n")}): value for (name, labels), (value, _) in found.items()})

        def of_prometheus():
            return kept({(labels.pop("__name__"), frozenset(labels.items())): value
                         for labels, _, value in prometheus.query('{job="optipod"}')})
        ours = wait_until(of_aggregator, "the aggregator has scraped it", 60)
        theirs = wait_until(of_prometheus, "Prometheus has scraped it", 60)
    assert types and all(kind.startswith("application/openmetrics-text") for kind in types), types
    assert {"work_total", "work_created", "wait_seconds_bucket", "build_info", "state"} <= {name for name, _ in ours}
    assert ours.keys() == theirs.keys()
    assert all(math.isclose(value, theirs[key]) or math.isnan(value) and math.isnan(theirs[key])
               for key, value in ours.items())


def test_check_metrics_takes_files_and_says_what_it_cannot_read(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("a 1\n")
    bad.write_text("a 1\nb{c=1} 2\n")

    def run(*arguments, page=b""):
        return subprocess.run([program_path("aggregator"), "check-metrics", *arguments], input=page,
                              capture_output=True, text=False, timeout=60, check=False)

    done = run(good, "-", page=b"a 2\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = run(good, bad)
    assert done.returncode == 1
    assert done.stderr.decode() == f"{bad}:2:5: expected a quoted label value, got '1'\n"
    done = run(tmp_path / "none", bad)
    assert done.returncode == 1 and b"cannot open" in done.stderr and b":2:5:" in done.stderr
    assert run("--nonsense").returncode == 2
    assert b"--openmetrics" in run("--help").stdout
