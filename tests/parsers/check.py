"""Reads exports with the parsers that their users have, and compares them with network.json of the same snapshot.

check.py FORMAT FOLDER: the folder has pairs of files, N.json and N.FORMAT.
"""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

REPLACEMENT = "\ufffd"


def main():
    name, folder = sys.argv[1], Path(sys.argv[2])
    networks = sorted(folder.glob("*.json"))
    assert networks, "no network.json"
    for network in networks:
        export = network.with_suffix("." + name)
        CHECKS[name](export, json.loads(network.read_text("utf-8")))


def same(what, found, expected):
    if isinstance(expected, dict) and found != expected:
        same(f"{what}: keys", set(found) ^ set(expected), set())
        found, expected = ({key: of[key] for key in of if found[key] != expected[key]} for of in (found, expected))
    if found != expected:
        sys.exit(f"{what}: {found!r}, expected {expected!r}")


def xml_text(text):
    """What XML 1.0 can't contain is replaced; nothing else is."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", REPLACEMENT, text)


def check_graph(graph, network):
    """A graph of networkx's against network.json."""
    same("directed", graph.is_directed(), True)
    same("nodes", list(graph), [node["id"] for node in network["nodes"]])
    for node in network["nodes"]:
        found = graph.nodes[node["id"]]
        same("label", found["label"], xml_text(node["label"]))
        same("addresses", found["addresses"].split(), node["addresses"])
        same("state", found["state"], node["state"])
        same("changed_ms", found["changed_ms"], node["changed_ms"])
    links = {(link["dialer"], link["listener"]): link for link in network["links"]}
    same("links", set(graph.edges), set(links))
    for ends, link in links.items():
        found = dict(graph.edges[ends])
        found.pop("id", None)
        found.pop("viz", None)
        expected = {key: link[key] for key in ("rtt_stale", "loss_percent", "suspect")}
        expected["disputed"] = link["disputed_since_ms"] is not None
        if link["rtt_us"] is not None:
            expected |= {key: link[key] for key in ("rtt_us", "rtt_measured_ms")}
        same("link", found, expected)


def graphml(export, network):
    import networkx

    graph = networkx.read_graphml(export)
    check_graph(graph, network)
    # networkx doesn't read the data of the graph itself.
    space = "{http://graphml.graphdrawing.org/xmlns}"
    root = ElementTree.parse(export).getroot()
    data = {data.get("key"): data.text for data in root.find(space + "graph").findall(space + "data")}
    expected = {
        "graph_network": xml_text(network["network"]),
        "graph_node": network["node"],
        "graph_cut_off": str(network["cut_off"]).lower(),
        "graph_impaired": network["impaired"],
    }
    same("graph", data, {key: text for key, text in expected.items() if text is not None})


def gexf(export, network):
    import networkx

    check_graph(networkx.read_gexf(export, version="1.3"), network)


def netjson(export, network):
    import jsonschema

    graph = json.loads(export.read_text("utf-8"))
    schema = Path(__file__).with_name("netjson.schema.json")
    jsonschema.validate(graph, json.loads(schema.read_text("utf-8")))
    same("router_id", graph["router_id"], network["node"])
    same("label", graph["label"], network["network"])
    nodes = [
        {"id": node["id"], "label": node["label"], "addresses": node["local_addresses"], **node["properties"]}
        for node in graph["nodes"]
    ]
    same("nodes", nodes, network["nodes"])
    links = [{"dialer": link["source"], "listener": link["target"], **link["properties"]} for link in graph["links"]]
    # Whether the ends disagree stands for all that is said of the other end.
    told = ("measured_by", "other", "disputed_since_ms")
    expected = [{key: value for key, value in link.items() if key not in told} | {"disputed": link["disputed_since_ms"] is not None} for link in network["links"]]
    same("links", links, expected)
    for link in graph["links"]:
        rtt_us = link["properties"]["rtt_us"]
        same("cost", link["cost"], 2**32 - 1 if rtt_us is None else rtt_us)


def shown(node):
    """The lines of a node in a picture. None: its label shows nothing, and the id takes its place."""
    label = re.sub("\r\n|[\r\u2028\u2029]", "\n", node["label"]).replace("\t", " ")
    deceptive = "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f\ufdd0-\ufdef"
    deceptive += "".join(f"{chr(plane * 0x10000 + 0xfffe)}-{chr(plane * 0x10000 + 0xffff)}" for plane in range(17))
    return re.sub(deceptive + "]", REPLACEMENT, label).split("\n")


def dot(export, network):
    large = len(network["links"]) > 2000
    svg = subprocess.run(["dot", "-Tsvg", export], capture_output=True, timeout=300, check=False)
    # Fonts and layouts may cause warnings; errors and what is no UTF-8 don't pass.
    same("dot", (svg.returncode, b"rror" in svg.stderr), (0, False)) if not large else same("dot", svg.returncode, 0)
    space = "{http://www.w3.org/2000/svg}"
    nodes, links = {}, set()
    for shape in ElementTree.fromstring(svg.stdout).iter(space + "g"):
        title = shape.findtext(space + "title")
        texts = ["".join(text.itertext()).replace("\xa0", " ") for text in shape.findall(space + "text")]
        if shape.get("class") == "node":
            nodes[title] = texts
        elif shape.get("class") == "edge":
            links.add(tuple(title.split("->")))
    same("nodes", set(nodes), {node["id"] for node in network["nodes"]})
    same("links", links, {(link["dialer"], link["listener"]) for link in network["links"]})
    for node in network["nodes"]:
        lines = [line.replace("\xa0", " ") for line in shown(node)]
        # Graphviz draws no text for an empty line.
        found = nodes[node["id"]][: len([line for line in lines if line])]
        if "".join(lines).strip("\u200b "):
            same(f"text of {node['label']!r}", found, [line for line in lines if line])
        else:
            same(f"text of {node['label']!r}", nodes[node["id"]][0], node["id"][:10])
    if not large:
        data = subprocess.run(["dot", "-Tjson0", export], capture_output=True, timeout=300, check=True).stdout
        check_attributes(json.loads(data), network)


def check_attributes(data, network):
    objects = data["objects"]
    for found, node in zip(objects, network["nodes"], strict=True):
        same("id", found["name"], node["id"])
        # Graphviz leaves out what is empty.
        same("addresses", found.get("addresses", "").split(), node["addresses"])
        same("state", found["state"], node["state"])
    for found, link in zip(data["edges"], network["links"], strict=True):
        same("dialer", objects[found["tail"]]["name"], link["dialer"])
        same("listener", objects[found["head"]]["name"], link["listener"])
        rtt_us = None if link["rtt_us"] is None else str(link["rtt_us"])
        # Graphviz gives all links an attribute that one has.
        same("rtt_us", found.get("rtt_us") or None, rtt_us)
        same("loss_percent", float(found["loss_percent"]), link["loss_percent"])
        same("suspect", found["suspect"], str(link["suspect"]).lower())
        same("disputed", found["disputed"], str(link["disputed_since_ms"] is not None).lower())


CHECKS = {"graphml": graphml, "gexf": gexf, "netjson": netjson, "dot": dot}

if __name__ == "__main__":
    main()
