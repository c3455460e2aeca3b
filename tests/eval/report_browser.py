#!/usr/bin/env python3
"""Opens a report in headless Chromium and compares what its plots show with the tables beside it.

    tests/eval/report_browser.py REPORT.html RESULTS.csv RESULTS.jsonl [--screenshots DIR]

Exit code 77 if there is no Chromium, 1 with a line for each thing that is wrong, 0 if nothing is.
Chromium is talked to through --remote-debugging-pipe: JSON that ends in a zero byte, on descriptors
3 and 4; no package is needed for that.
"""
import argparse
import base64
import csv
import json
import math
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

VIEWS = {"light": (1280, "light"), "dark": (1280, "dark"), "narrow": (390, "light"),
         "narrow-dark": (390, "dark")}
PLOTS = ("pareto", "ratio", "speed", "needle", "bytes", "kept-layers", "kept-channels")


class Browser:
    def __init__(self, program, profile):
        to_browser, write_end = os.pipe()
        read_end, from_browser = os.pipe()

        def descriptors():
            # Through high numbers: the pipes may be 3 and 4 already.
            high_in, high_out = os.dup2(to_browser, 203), os.dup2(from_browser, 204)
            os.dup2(high_in, 3)
            os.dup2(high_out, 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-extensions", f"--user-data-dir={profile}",
             "--remote-debugging-pipe", "about:blank"],
            preexec_fn=descriptors, close_fds=False, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.write_end, self.read_end = write_end, read_end
        self.buffer, self.events, self.last_id, self.session = b"", [], 0, None

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def receive(self, deadline):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.read_end], [], [], left)[0]:
                raise TimeoutError("Chromium did not answer in time")
            piece = os.read(self.read_end, 1 << 20)
            if not piece:
                raise EOFError("Chromium ended")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, seconds=60, **params):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            answer = self.receive(deadline)
            if answer.get("id") == self.last_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, event, seconds=60):
        deadline = time.monotonic() + seconds
        while not any(e.get("method") == event for e in self.events):
            self.events.append(self.receive(deadline))

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def open(self, url, width, scheme):
        if self.session is None:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                  mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def complaints(self, url):
        """Errors of the console, exceptions, and anything asked of a network."""
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                yield f"exception: {params['exceptionDetails']}"
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                yield f"console: {params['args']}"
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                yield f"log: {params['entry']['text']}"
            elif method == "Network.requestWillBeSent":
                asked = params["request"]["url"]
                if asked != url and not asked.startswith(("data:", "about:")):
                    yield f"asked for {asked[:100]}"

    def save_screenshot(self, path):
        height = self.evaluate("Math.ceil(document.documentElement.scrollHeight)")
        width = self.evaluate("innerWidth")
        image = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png",
                          clip={"x": 0, "y": 0, "width": width, "height": min(height, 16000), "scale": 1})
        path.write_bytes(base64.b64decode(image["data"]))


class Tables:
    """Figures by point and column: the CSV's, and of the records what the CSV leaves out."""

    def __init__(self, csv_path, jsonl_path):
        with open(csv_path, newline="", encoding="utf-8") as file:
            self.rows = {row["point"]: row for row in csv.DictReader(file)}
        with open(jsonl_path, encoding="utf-8") as file:
            self.records = {r["point"]: r for r in map(json.loads, file)}

    def figure(self, point, column):
        if column.startswith("kept.channels."):
            layer, channel = map(int, column.split(".")[2:])
            return float(self.records[point]["kept"]["channels"][layer][channel])
        return float(self.rows[point][column])


def check_plot(name, plot, tables):
    n = 0
    for series in plot:
        for p in series["points"]:
            for axis in ("x", "y", "value"):
                column = p.get(f"{axis}_column")
                if column is None:
                    continue
                n += 1
                wanted = tables.figure(p["point"], column)
                if not math.isclose(p[axis], wanted, rel_tol=1e-12, abs_tol=1e-15):
                    yield f"{name}: {series['name']}: {column} of {p['point']} is {p[axis]}, table {wanted}"
    if n == 0 and any(series["points"] for series in plot):
        yield f"{name}: no figure could be compared"


READ_PLOTS = """Object.fromEntries(Object.entries(window.sparkPlots ?? {}).map(([id, { series }]) =>
  [id, series.map(({ name, points }) => ({ name, points: points.map(
    ({ record, row, ...point }) => point) }))]))"""
# Every choice of the bar above the plots, one after the other.
CHOOSE = """(([select, value]) => { const s = document.querySelectorAll("select")[select];
  s.value = value; s.dispatchEvent(new Event("change")); })(%s)"""


def check_choices(browser, tables):
    """Every plot after every choice that the page offers."""
    options = browser.evaluate(
        "[...document.querySelectorAll('select')].map((s) => [...s.options].map((o) => o.value))")
    choices = [None] + [(select, value) for select, values in enumerate(options) if values
                        for value in values + values[:1]]  # and back to the first
    n_figures = 0
    for choice in choices:
        if choice:
            browser.evaluate(CHOOSE % json.dumps(choice))
        plots = browser.evaluate(READ_PLOTS)
        for name in PLOTS:
            if name not in plots:
                yield f"no plot {name}"
                continue
            n_figures += sum(len(s["points"]) for s in plots[name])
            yield from check_plot(name, plots[name], tables)
    print(f"{n_figures} points of plots compared with the tables")


def check_table(browser, tables):
    rows = "document.querySelectorAll('#table tbody tr').length"
    if browser.evaluate(rows) != len(tables.rows):
        yield f"the table has {browser.evaluate(rows)} rows, results.csv {len(tables.rows)}"
    figures = browser.evaluate("""(() => {
      const head = [...document.querySelectorAll('#table th button')];
      const i = head.findIndex((b) => b.textContent.startsWith('bytes/token'));
      if (i < 0) return null;
      head[i].click();
      return [...document.querySelectorAll('#table tbody tr')].map((r) => r.cells[i].textContent)
        .filter(Boolean).map(Number); })()""")
    if figures is not None and figures != sorted(figures):
        yield "a click on bytes/token does not sort the table"


def check_page(browser, view, width):
    wide = browser.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        yield f"{view}: the page is {wide} pixels wide, the window {width}"
    if browser.evaluate("document.querySelectorAll('#page b b, #page script').length") != 0:
        yield f"{view}: markup of a record became markup of the page"


def check_report(browser, args, tables):
    url = pathlib.Path(args.report).resolve().as_uri()
    for view, (width, scheme) in VIEWS.items():
        browser.open(url, width, scheme)
        yield from check_page(browser, view, width)
        if args.screenshots:
            browser.save_screenshot(pathlib.Path(args.screenshots) / f"{view}.png")
        if view == "light":
            yield from check_choices(browser, tables)
            yield from check_table(browser, tables)
        if view == "dark" and args.screenshots:
            pdf = browser.call("Page.printToPDF", printBackground=False)
            (pathlib.Path(args.screenshots) / "print.pdf").write_bytes(base64.b64decode(pdf["data"]))
        yield from (f"{view}: {line}" for line in browser.complaints(url))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report")
    parser.add_argument("csv")
    parser.add_argument("jsonl")
    parser.add_argument("--screenshots", help="folder for PNG files of every view and a PDF")
    args = parser.parse_args()
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        print("no Chromium: apt-get install chromium")
        return 77
    if args.screenshots:
        pathlib.Path(args.screenshots).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            wrong = list(check_report(browser, args, Tables(args.csv, args.jsonl)))
        finally:
            browser.close()
    for line in wrong[:40]:
        print(line)
    print(f"{len(wrong)} things wrong" if wrong else "nothing wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
