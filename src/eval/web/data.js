"use strict";
// What the sweep measured, and the words and colours it is shown with. Everything else builds on
// `spark`.
const spark = (() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const records = read("spark-records");
  const ok = records.filter((r) => r.status === "ok");
  const isNumber = (x) => typeof x === "number" && Number.isFinite(x);
  const unique = (list) => [...new Set(list)];

  const types = (r) => `${r.cache_type_k}, ${r.cache_type_v}`;
  const planKey = (r) => `${r.kv} · ${types(r)}`;
  const isBaseline = (r) =>
    (r.kv === "none" || r.kv === "full") && r.cache_type_k === "f16" && r.cache_type_v === "f16";

  // A plan without the ratio that a sweep varies: the last stage's ("snapkv:0.5+spark").
  const methodOf = (r) => {
    const stages = String(r.kv).split("+");
    stages.push(stages.pop().replace(/^([\w-]+):[\d.]+/, "$1"));
    return stages.join("+");
  };
  const methods = unique(ok.map(methodOf));
  const coloured = methods.filter((m) => m !== "none" && m !== "full");
  const shapes = ["circle", "triangle", "rect", "rectRot", "star", "crossRot", "cross"];
  const methodStyle = (method) => {
    const i = coloured.indexOf(method);
    if (i < 0) return { color: "--none", shape: "circle" };
    return { color: `--c${i % 7}`, shape: shapes[(i + Math.floor(i / 7)) % 7] };
  };

  const percent = (x, digits = 1) => `${(100 * x).toFixed(digits)} %`;
  const signed = (x, text) => (x > 0 ? "+" : x < 0 ? "−" : "") + text;
  const signedPercent = (x, digits = 1) => signed(x, percent(Math.abs(x), digits));
  const bytes = (n) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let i = 0;
    for (; n >= 1024 && i < units.length - 1; ++i) n /= 1024;
    return `${i === 0 || n >= 100 ? n.toFixed(0) : n.toFixed(1)} ${units[i]}`;
  };
  const number = (x, digits) => (isNumber(x) ? x.toFixed(digits) : "");

  // What quality can be measured by. `field` is the record's key and the CSV's column.
  const measures = [
    { id: "perplexity_loss", task: "nll", field: "perplexity_loss", better: "less", limits: [0.01, 0.05],
      title: "perplexity above the uncompressed cache's", short: "perplexity loss", text: (y) => signedPercent(y) },
    { id: "kl", task: "nll", field: "kl", low: "kl_low", high: "kl_high", better: "less",
      title: "KL divergence from uncompressed", short: "KL", text: (y) => y.toFixed(4) },
    { id: "top1", task: "nll", field: "top1", low: "top1_low", high: "top1_high", better: "more",
      title: "same most likely token", short: "top-1", text: (y) => percent(y) },
  ];
  for (const task of unique(ok.map((r) => r.task))) {
    if (task === "nll" || task === "speed") continue;
    measures.push({ id: task, task, field: "score", low: "score_low", high: "score_high",
      better: "more", title: `${task}: score`, text: (y) => y.toFixed(3) });
  }
  const measured = measures.filter((m) => ok.some((r) => r.task === m.task && isNumber(r[m.field])));

  return {
    records, ok, isNumber, unique, types, planKey, isBaseline, methodOf, methods, methodStyle,
    percent, signedPercent, bytes, number, measures: measured,
    verdicts: read("spark-verdicts"), config: read("spark-config"), version: read("spark-version"),
    contexts: unique(ok.map((r) => r.context)).filter(isNumber).sort((a, b) => a - b),
    contextText: (n) => (n ? `${n} tokens` : "as the data are"),
  };
})();
