"use strict";
// Every record, to sort and to filter.
const table = (() => {
  const { isNumber, records, number } = spark;
  const { h } = el;
  const last = (rows) => (Array.isArray(rows) && rows.length ? rows[rows.length - 1] : null);

  const column = (title, value, text, isLong) => ({ title, value, text: text ?? ((x) => String(x ?? "")), isLong });
  const fixed = (digits) => (x) => number(x, digits);
  const usual = [
    column("plan", (r) => r.kv),
    column("keys", (r) => r.cache_type_k),
    column("values", (r) => r.cache_type_v),
    column("context", (r) => r.context),
    column("task", (r) => r.task),
    column("threads", (r) => r.threads),
    column("perplexity", (r) => r.perplexity, fixed(3)),
    column("loss", (r) => r.perplexity_loss, (x) => (isNumber(x) ? spark.signedPercent(x) : "")),
    column("KL", (r) => r.kl, fixed(4)),
    column("top-1", (r) => r.top1, fixed(3)),
    column("score", (r) => (isNumber(r.perplexity) ? null : r.score), fixed(3)),
    column("samples", (r) => r.samples),
    column("bytes/token", (r) => r.kv_bytes_per_token, fixed(0)),
    column("of f16", (r) => r.kv_share, (x) => (isNumber(x) ? spark.percent(x) : "")),
    column("decode t/s", (r) => last(r.speed)?.decode_tokens_per_second ?? r.decode_tokens_per_second, fixed(1)),
    column("prefill t/s", (r) => last(r.speed)?.prefill_tokens_per_second ?? r.prefill_tokens_per_second, fixed(0)),
    column("status", (r) => r.status),
    column("error", (r) => r.error, undefined, true),
  ].filter((c) => {
    const values = spark.unique(records.map(c.value).filter((v) => v !== null && v !== undefined));
    // The settings below say what is the same for all.
    return values.length > (["threads", "status"].includes(c.title) ? 1 : 0);
  });

  // Every scalar and every member of kv_bytes, under the CSV's names.
  const all = () => spark.unique(records.flatMap((r) => Object.entries(r).flatMap(([key, value]) => {
    if (key === "kv_bytes" && value) return Object.keys(value).map((part) => `kv_bytes.${part}`);
    return value !== null && typeof value === "object" ? [] : [key];
  }))).filter((key) => key !== "kv_bytes").map((key) => column(key,
    (r) => (key.startsWith("kv_bytes.") ? r.kv_bytes?.[key.slice(9)] : r[key]),
    undefined, key === "error" || key === "point"));

  const compare = (a, b) => {
    if (a === b) return 0;
    if (a === null || a === undefined) return 1;  // empty cells last, whichever way
    if (b === null || b === undefined) return -1;
    if (isNumber(a) && isNumber(b)) return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const sorted = (rows, c, down) => [...rows].sort((a, b) => {
    const [x, y] = [c.value(a), c.value(b)];
    const empty = [x, y].some((v) => v === null || v === undefined);
    return down && !empty ? compare(y, x) : compare(x, y);
  });

  const build = () => {
    const state = { columns: usual, sort: null, down: false, filter: "" };
    const box = h("div", { class: "scroll rows", tabindex: "0", role: "region", "aria-label": "All points" });
    const count = h("span", { class: "small soft", role: "status" });

    const draw = () => {
      const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
      let rows = records.filter((r) => {
        const text = `${r.point} ${r.status} ${r.error ?? ""} ${r.kv} ${r.task}`.toLowerCase();
        return words.every((word) => text.includes(word));
      });
      if (state.sort) rows = sorted(rows, state.sort, state.down);
      const isFigure = new Map(state.columns.map((c) => [c, records.some((r) => isNumber(c.value(r)))]));
      const head = state.columns.map((c) => h("th", { scope: "col", class: isFigure.get(c) ? "n" : undefined,
        "aria-sort": c === state.sort ? (state.down ? "descending" : "ascending") : "none" },
      h("button", { type: "button", onclick: () => {
        state.down = c === state.sort && !state.down;
        state.sort = c;
        draw();
      } }, c.title, c === state.sort ? (state.down ? " ↓" : " ↑") : "")));
      box.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, head)),
        h("tbody", {}, rows.map((r) => h("tr", {}, state.columns.map((c) =>
          h("td", { class: c.isLong ? "long" : isFigure.get(c) ? "n" : undefined }, c.text(c.value(r)))))))));
      count.textContent = rows.length === records.length ? `${rows.length} points`
        : `${rows.length} of ${records.length} points`;
    };
    draw();
    const filter = h("input", { type: "search", placeholder: "spark needle 4096",
      oninput: () => { state.filter = filter.value; draw(); } });
    const full = h("input", { type: "checkbox", onchange: () => {
      state.columns = full.checked ? all() : usual;
      state.sort = null;
      draw();
    } });
    return { update: () => {}, element: Object.assign(el.section("table", "All points",
      "Column heads sort. results.csv and results.jsonl beside this page hold the same figures and more.",
      h("div", { class: "tools" }, h("label", {}, "Filter", filter), h("label", {}, full, "all columns"), count),
      box), { className: "whole" }) };
  };

  return { build };
})();
