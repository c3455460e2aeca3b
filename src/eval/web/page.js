"use strict";
// The page from top to bottom: verdict, plots, pictures, table, settings.
(() => {
  const { records, ok, verdicts, contexts, measures } = spark;
  const { h } = el;
  const common = (key) => spark.unique(records.map((r) => r[key]).filter((v) => v !== null && v !== undefined));
  const planName = (p) => [h("code", {}, p.kv), ` keys ${p.cache_type_k}, values ${p.cache_type_v}`];

  const chip = (t) => {
    if (t.task === "nll") {
      return h("li", {}, `nll: perplexity ${spark.signedPercent(t.loss)}`);
    }
    const weak = t.baseline < 0.5;
    return h("li", {}, `${t.task}: ${t.score.toFixed(2)} of ${t.baseline.toFixed(2)}`,
      weak ? h("span", { class: "warn" }, " (weak even uncompressed)") : null,
      t.samples && t.samples < 30 ? h("span", { class: "soft" }, `, ${t.samples} samples`) : null);
  };

  const card = (v) => {
    const title = h("div", { class: "limit" }, `Under ${spark.percent(v.limit, 0)} loss`);
    if (!v.best) {
      const near = v.closest;
      return h("div", { class: "card" }, title,
        h("div", { class: "big" }, h("span", {}, h("b", {}, "No plan"), "qualifies")),
        near ? [h("div", { class: "plan" }, "Closest: ", planName(near)),
          h("div", { class: "small soft" }, `worst loss ${spark.percent(near.worst_loss)}, ` +
            `${spark.percent(near.kv_share)} of dense f16's bytes`),
          h("ul", { class: "chips" }, near.tasks.map(chip))] : null);
    }
    const p = v.best;
    const gain = p.speed_gain;
    return h("div", { class: "card found" }, title,
      h("div", { class: "big" },
        h("span", {}, h("b", {}, `−${spark.percent(1 - p.kv_share, 0)}`), "KV bytes"),
        spark.isNumber(gain) ? h("span", {}, h("b", {}, `${gain.toFixed(2)}×`),
          `decode speed${p.speed_context ? ` at ${p.speed_context} tokens` : ""}`) : null),
      h("div", { class: "plan" }, planName(p)),
      h("div", { class: "small soft" }, "Holds on:"),
      h("ul", { class: "chips" }, p.tasks.map(chip)));
  };

  const notes = (v) => {
    const lines = [`Fewest bytes among ${v.plans} plans whose loss is below the limit in every task: ` +
      "nll by perplexity, the others by score, both against the uncompressed f16 cache of this sweep."];
    if (v.incomplete) lines.push(`${v.incomplete} more lack a task and were not judged.`);
    if (v.left_out.length) lines.push(`Not judged, for want of an uncompressed score: ${v.left_out.join(", ")}.`);
    if (ok.some((r) => r.query_aware)) lines.push("The question was seen before compression (--query-aware).");
    else if (ok.some((r) => r.query_aware === false)) lines.push("Contexts were compressed before the question was known.");
    return lines.join(" ");
  };

  const verdictSection = () => {
    if (verdicts.length === 0) {
      return el.emptySection("verdict", "Verdict",
        ok.length ? "no quality was measured." : "no point has ended yet.");
    }
    if (verdicts.every((v) => v.tasks.length === 0)) {
      return el.emptySection("verdict", "Verdict", "nothing to compare with: the sweep has no score of the " +
        `uncompressed cache (--kv none, f16) in ${spark.unique(verdicts.flatMap((v) => v.left_out)).join(", ")}.`);
    }
    const longest = verdicts[verdicts.length - 1].context;
    const top = verdicts.filter((v) => v.context === longest);
    const section = h("section", { id: "verdict", class: "plain" },
      h("h2", {}, `Verdict at ${longest ? `${longest} tokens of context` : "the data's own contexts"}`),
      h("p", { class: "soft" }), h("div", { class: "cards" }, top.map(card)),
      h("p", { class: "small soft", style: { marginTop: "10px" } }, notes(top[0])));
    section.querySelector("p").remove();
    const others = spark.unique(verdicts.map((v) => v.context)).filter((c) => c !== longest);
    if (others.length) {
      section.append(h("div", { class: "scroll verdicts" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", {}, "context"), h("th", {}, "limit"), h("th", {}, "plan"),
          h("th", {}, "bytes"), h("th", {}, "measured in"))),
        h("tbody", {}, verdicts.filter((v) => others.includes(v.context)).map((v) => h("tr", {},
          h("td", {}, spark.contextText(v.context)), h("td", {}, spark.percent(v.limit, 0)),
          h("td", {}, v.best ? [planName(v.best)] : "no plan qualifies"),
          h("td", {}, v.best ? `−${spark.percent(1 - v.best.kv_share, 0)}` : ""),
          h("td", {}, v.tasks.join(", "))))))));
    }
    return section;
  };

  const header = () => {
    const model = common("model")[0];
    const failed = records.length - ok.length;
    const facts = [common("quantization")[0], `${spark.unique(ok.map(spark.planKey)).length} plans`,
      contexts.length > 0 && `${contexts.length > 1 ? "contexts" : "context"} ${contexts.join(", ")}`,
      ok.length > 0 && `tasks ${spark.unique(ok.map((r) => r.task)).join(", ")}`];
    return h("header", {}, h("h1", {}, model ?? "Sweep of KV cache plans"),
      h("p", { class: "soft" }, "How far its KV cache can be pruned: ", facts.filter(Boolean).join(" · "),
        failed ? h("span", { class: "warn" }, ` · ${failed} ${failed === 1 ? "point" : "points"} failed`) : null));
  };

  const settings = () => {
    const list = (entries) => h("dl", {}, entries.flatMap(([key, value]) => [h("dt", {}, key), h("dd", {}, value)]));
    const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
    const machine = ["model", "arch", "parameters", "quantization", "fingerprint", "cpu", "simd_target", "backend",
      "compute", "threads", "seed", "version"].map((key) => [key, common(key).map(text).join(", ")])
      .filter(([, value]) => value !== "");
    const started = common("started").map(String).sort();
    if (started.length) machine.push(["started", `${started[0]} to ${started[started.length - 1]}`]);
    const seconds = ok.reduce((sum, r) => sum + (spark.isNumber(r.seconds) ? r.seconds : 0), 0);
    if (seconds) machine.push(["time of all points", `${(seconds / 60).toFixed(1)} minutes`]);
    const config = Object.entries(spark.config ?? {}).map(([key, value]) => [key, text(value)]);
    return el.section("settings", "Settings and machine", null,
      h("div", { class: "two" }, h("div", {}, h("h3", {}, "Machine and model"), list(machine)),
        config.length ? h("div", {}, h("h3", {}, "Settings"), list(config)) : null),
      h("p", { class: "small soft" }, `Made by spark-sweep ${spark.version.version} ${spark.version.commit}. ` +
        "Plots: Chart.js 3.9.1, © 2022 Chart.js Contributors, MIT licence."));
  };

  const parts = [quality.byBytes, quality.byRatio, cost.decodeSpeed, pictures.needle, cost.byPart, pictures.kept];
  const main = document.getElementById("page");
  if (ok.length === 0 || measures.length === 0 || contexts.length === 0) {
    parts.splice(0, 2, () => ({ element: el.emptySection("pareto", "Quality", "not measured."),
      update: () => { charts.publish("pareto", [], null); charts.publish("ratio", [], null); } }));
  }
  const drawn = parts.map((make) => make());
  const longest = [...contexts].reverse();
  const state = { measure: measures[0] ?? { task: null }, types: "all",
    context: longest.find((c) => measures[0] && ok.some((r) => r.context === c && r.task === measures[0].task)) ??
      longest[0] };
  const update = () => drawn.forEach((part) => part.update(state));
  const types = spark.unique(ok.map(spark.types));
  const bar = h("div", { class: "bar" },
    el.choice("Quality", measures.map((m) => [m.id, m.title]), state.measure.id,
      (id) => { state.measure = measures.find((m) => m.id === id); update(); }),
    el.choice("Context", contexts.map((c) => [c, spark.contextText(c)]), state.context,
      (c) => { state.context = Number(c); update(); }),
    el.choice("Keys, values", [["all", "all types"], ...types.map((t) => [t, t])], "all",
      (t) => { state.types = t; update(); }));
  bar.hidden = [...bar.children].every((label) => label.hidden);

  document.title = `SparK sweep: ${common("model")[0] ?? "no model"}`;
  main.replaceChildren(header(), verdictSection(), bar, ...drawn.map((part) => part.element),
    table.build().element, settings());
  update();
})();
