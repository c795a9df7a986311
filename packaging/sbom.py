"""Turns `cargo metadata` (stdin) into a CycloneDX bill of materials (stdout). Called by scripts/release.

Only what is compiled into the program counts. `cargo metadata` also names what features leave out; `cargo tree` knows better, and its
list ("name vVERSION" a line) is the second argument."""

import json
import os
import sys
from datetime import datetime, timezone


def main() -> None:
    version = sys.argv[1]
    with open(sys.argv[2], encoding="utf-8") as lines:
        inside = {tuple(line.split()[:2]) for line in lines if line.strip()}
    data = json.load(sys.stdin)
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    root = data["resolve"]["root"]

    def compiled(dep: dict) -> bool:
        package = packages[dep["pkg"]]
        return (package["name"], f"v{package['version']}") in inside and any(kind["kind"] is None for kind in dep["dep_kinds"])

    def used(node: str) -> list[str]:
        return sorted(dep["pkg"] for dep in nodes[node]["deps"] if compiled(dep))

    reached, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if node not in reached:
            reached.add(node)
            waiting.extend(used(node))

    def reference(node: str) -> str:
        package = packages[node]
        return f"pkg:cargo/{package['name']}@{package['version']}"

    def component(node: str) -> dict:
        package = packages[node]
        shape = {
            "type": "library",
            "bom-ref": reference(node),
            "name": package["name"],
            "version": package["version"],
            "purl": reference(node),
        }
        if package.get("license"):
            shape["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        return shape

    others = sorted(reached - {root}, key=reference)
    at = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), timezone.utc)
    main_component = component(root) | {"type": "application", "version": version}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": main_component},
        "components": [component(node) for node in others],
        "dependencies": [
            {"ref": reference(node), "dependsOn": [reference(dep) for dep in used(node)]} for node in sorted(reached, key=reference)
        ],
    }
    json.dump(document, sys.stdout, indent=1)
    print()


main()
