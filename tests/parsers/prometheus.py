"""Reads metrics with the parsers that their users have: a strict one of OpenMetrics, promtool, and Prometheus itself.

prometheus.py metrics FOLDER: the folder has N.json, which is network.json, and the same network's N.openmetrics and N.text.
prometheus.py dashboard FOLDER: Prometheus reads these files, and answers everything that docs/grafana.json asks.
"""

import http.server
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
from pathlib import Path

from check import same, shown

BIN = Path(sys.prefix) / "bin"
TYPES = {
    ".openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
    ".text": "text/plain; version=0.0.4; charset=utf-8",
}
# Scrapes of a target after which Prometheus has two samples, which suffice for a rate.
SCRAPES = 3
PATIENCE_S = 120


def metrics(folder):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    networks = sorted(folder.glob("*.json"))
    assert networks, "no network.json"
    for file in networks:
        network = json.loads(file.read_text("utf-8"))
        # `newline`: a label may have a line break of another kind, which must stay.
        with open(file.with_suffix(".openmetrics"), encoding="utf-8", newline="") as text:
            families = {family.name: family for family in text_string_to_metric_families(text.read())}
        check_values(families, network)
        check_own_links(families, network)
        check_worst(families, network)
        text = file.with_suffix(".text").read_bytes()
        tool = subprocess.run([BIN / "promtool", "check", "metrics"], input=text, capture_output=True, check=False)
        same("promtool", (tool.returncode, tool.stdout, tool.stderr), (0, b"", b""))


def values(families, name):
    return [(sample.labels, sample.value) for sample in families[name].samples]


def plain(label):
    return "\n".join(shown({"label": label}))


def check_values(families, network):
    nodes = {state: 0.0 for state in ("up", "unreachable", "left")}
    for node in network["nodes"]:
        nodes[node["state"]] += 1
    same("nodes", {labels["state"]: value for labels, value in values(families, "areanet_nodes")}, nodes)
    same("links", values(families, "areanet_links"), [({}, float(len(network["links"])))])
    me = next(node for node in network["nodes"] if node["id"] == network["node"])
    expected = {"id": me["id"][:10], "label": plain(me["label"]), "network": plain(network["network"])}
    same("node", values(families, "areanet_node"), [(expected, 1.0)])
    rtts = [link["rtt_us"] for link in network["links"] if link["rtt_us"] is not None]
    for sample in families["areanet_network_link_rtt_seconds"].samples:
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            same(f"bucket {bound}", sample.value, float(sum(rtt / 1e6 <= bound for rtt in rtts)))
        elif sample.name.endswith("_gcount"):
            same("count", sample.value, float(len(rtts)))
        else:
            same("sum", round(sample.value * 1e6), sum(rtts))


def check_own_links(families, network):
    nodes = {node["id"]: node for node in network["nodes"]}
    me, expected = network["node"], {}
    for link in network["links"]:
        peer, direction = (link["listener"], "out") if link["dialer"] == me else (link["dialer"], "in")
        if me in (link["dialer"], link["listener"]):
            expected[(plain(nodes[peer]["label"]), peer[:10], direction)] = link
    assert expected, "no links of its own"

    def found(name):
        samples = values(families, f"areanet_link_{name}")
        return {(labels["peer"], labels["id"], labels["direction"]): value for labels, value in samples}

    same("loss", found("loss_ratio"), {key: ratio(link) for key, link in expected.items()})
    same("suspect", found("suspect"), {key: float(link["suspect"]) for key, link in expected.items()})
    measured = {key: link for key, link in expected.items() if link["rtt_us"] is not None}
    same("rtt", found("rtt_seconds"), {key: link["rtt_us"] / 1e6 for key, link in measured.items()})
    at = {key: link["rtt_measured_ms"] / 1e3 for key, link in measured.items()}
    same("time", found("rtt_timestamp_seconds"), at)


def ratio(link):
    """The loss without the error of the division."""
    return round(link["loss_percent"] * 10) / 1000


def check_worst(families, network):
    nodes = {node["id"][:10]: node for node in network["nodes"]}
    links = {(link["dialer"][:10], link["listener"][:10]): link for link in network["links"]}
    found = values(families, "areanet_worst_link_loss_ratio")
    same("number of the worst links", len(found), min(len(links), 500))
    for labels, value in found:
        link = links[labels["dialer_id"], labels["listener_id"]]
        same("loss", value, ratio(link))
        for end in ("dialer", "listener"):
            same(end, labels[end], plain(nodes[labels[f"{end}_id"]]["label"]))


class Target(http.server.BaseHTTPRequestHandler):
    """Serves the files, and counts the requests for each."""

    folder = Path()
    counts = {}
    counted = threading.Condition()

    def do_GET(self):
        file = self.folder / Path(self.path).name
        self.send_response(200)
        self.send_header("Content-Type", TYPES[file.suffix])
        self.end_headers()
        self.wfile.write(file.read_bytes())
        with self.counted:
            self.counts[file.name] = self.counts.get(file.name, 0) + 1
            self.counted.notify_all()

    def log_message(self, *_):
        pass


def dashboard(folder):
    board = json.loads((Path(__file__).parents[2] / "docs/grafana.json").read_text("utf-8"))
    check_board(board)
    Target.folder = folder
    files = sorted(file.name for file in folder.iterdir() if file.suffix in TYPES)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    with tempfile.TemporaryDirectory() as data:
        jobs = [
            {
                "job_name": file,
                "metrics_path": f"/{file}",
                "static_configs": [{"targets": ["127.0.0.1:%d" % server.server_port]}],
            }
            for file in files
        ]
        config = {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"}, "scrape_configs": jobs}
        # JSON is YAML too.
        (Path(data) / "prometheus.yml").write_text(json.dumps(config))
        command = [BIN / "prometheus", "--config.file=prometheus.yml", f"--web.listen-address={address}"]
        with open(Path(data) / "log", "wb") as log:
            process = subprocess.Popen(command, cwd=data, stderr=log)
        try:
            asked = [(f"up of {file}", f'up{{job="{file}"}} == 1') for file in files]
            asked += expressions(board)
            scrapes = SCRAPES
            while asked:
                with Target.counted:
                    done = Target.counted.wait_for(lambda: scraped(files, scrapes), PATIENCE_S)
                assert done and scrapes < 60, (asked, (Path(data) / "log").read_text())
                # A busy machine may have missed a sample, which comes with a later scrape.
                asked = [(title, expression) for title, expression in asked if not ask(address, expression)]
                scrapes += 1
            for annotation in board["annotations"]["list"]:
                ask(address, filled_in(annotation["expr"]))
        finally:
            process.terminate()
            process.wait()
            server.shutdown()


def scraped(files, times):
    return all(Target.counts.get(file, 0) >= times for file in files)


def ask(address, expression):
    query = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"http://{address}/api/v1/query?{query}", timeout=PATIENCE_S) as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{expression}: {error.read().decode()}")


def filled_in(expression):
    """The expression with what Grafana puts in place of its variables."""
    for variable, value in {"$job": ".*", "$instance": ".*", "$__rate_interval": "1m"}.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression, expression
    return expression


def expressions(board):
    """What the panels and the variables ask, each with its place."""
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], filled_in(target["expr"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            series, _ = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            yield variable["name"], filled_in(series)


def check_board(board):
    """What Grafana requires of a dashboard that it imports."""
    for key in ("title", "uid", "schemaVersion", "panels", "templating", "time"):
        assert key in board, key
    variables = {variable["name"] for variable in board["templating"]["list"]}
    panels = board["panels"]
    same("ids", len({panel["id"] for panel in panels}), len(panels))
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        targets = panel.get("targets", [])
        assert targets or panel["type"] == "row", panel["title"]
        same("refs", len({target["refId"] for target in targets}), len(targets))
        for target in targets:
            assert target["datasource"]["uid"] == "${datasource}", panel["title"]
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables | {"__rate_interval"}, target["expr"]


if __name__ == "__main__":
    {"metrics": metrics, "dashboard": dashboard}[sys.argv[1]](Path(sys.argv[2]))
