"use strict";
// What a cache costs: time a token, and bytes by what they hold.
const cost = (() => {
  const { ok, isNumber } = spark;
  const colors = ["--c0", "--c1", "--c2", "--c3", "--c5", "--c6", "--c4"];
  const shapes = ["circle", "triangle", "rect", "rectRot", "star", "crossRot", "cross"];

  const decodeSpeed = () => {
    const rows = ok.filter((r) => Array.isArray(r.speed) && r.speed.length > 0);
    if (rows.length === 0) {
      return { element: el.emptySection("speed", "Decode speed",
        "not measured; add speed to --task."), update: () => charts.publish("speed", [], null) };
    }
    const { canvas, element } = charts.box("Decode speed against tokens in the cache");
    const severalThreads = spark.unique(rows.map((r) => r.threads)).length > 1;
    const series = rows.map((r) => ({
      name: spark.planKey(r) + (severalThreads ? ` · ${r.threads} threads` : ""), record: r,
      points: r.speed.filter((s) => isNumber(s.depth) && isNumber(s.decode_tokens_per_second))
        .map((s) => ({ x: s.depth, y: s.decode_tokens_per_second, low: s.decode_low, high: s.decode_high,
          point: r.point, plan: spark.planKey(r), x_column: `speed.${s.depth}.depth`,
          y_column: `speed.${s.depth}.decode_tokens_per_second`, row: s }))
        .sort((a, b) => a.x - b.x),
    })).filter((s) => s.points.length > 0);
    // Shown at first: the uncompressed cache, the verdict's plans, then the fastest.
    const chosen = new Set(spark.verdicts.flatMap((v) => (v.best ? [spark.planKey(v.best)] : [])));
    const end = (s) => s.points[s.points.length - 1].y;
    series.sort((a, b) => spark.isBaseline(b.record) - spark.isBaseline(a.record) ||
      chosen.has(spark.planKey(b.record)) - chosen.has(spark.planKey(a.record)) || end(b) - end(a));
    let next = 0;
    const datasets = series.map((s, i) => {
      const base = spark.isBaseline(s.record);
      const n = base ? 0 : next++;
      return { label: s.name, data: s.points, cssColor: base ? "--none" : colors[n % 7],
        pointStyle: base ? "circle" : shapes[(n + Math.floor(n / 7)) % 7], pointRadius: 4.5, pointHoverRadius: 7,
        borderWidth: 2, borderDash: base ? [6, 4] : [[], [7, 4], [2, 3]][Math.floor(n / 7) % 3],
        showLine: true, hidden: i > 6 };
    });
    const depths = spark.unique(series.flatMap((s) => s.points.map((p) => p.x))).sort((a, b) => a - b);
    const key = el.h("div");
    const section = el.section("speed", "Decode speed against depth",
      "Tokens a second while decoding, by how many tokens are in the cache (logarithmic). The dashed " +
      "line is the uncompressed cache. Names switch lines on and off.", element, key);
    let isDrawn = false;
    const update = () => {
      if (isDrawn) return;
      isDrawn = true;
      const x = charts.axis("tokens in the cache", { type: "logarithmic",
        min: Math.max(1, depths[0] * 0.9), max: depths[depths.length - 1] * 1.1,
        ticks: { callback: (value) => (depths.includes(value) ? value : "") },
        afterBuildTicks: (scale) => { scale.ticks = depths.map((value) => ({ value })); } });
      const chart = charts.draw(canvas, "scatter", datasets,
        { x, y: charts.axis("tokens per second", { beginAtZero: true }) },
        { tooltip: {
          title: ([item]) => item?.raw.plan ?? "",
          label: ({ raw: p }) => [`${p.y.toFixed(1)} tokens/s at ${p.x}`,
            isNumber(p.low) ? `95 %: ${p.low.toFixed(1)} to ${p.high.toFixed(1)}` : null,
            isNumber(p.row.prefill_tokens_per_second)
              ? `prefill: ${p.row.prefill_tokens_per_second.toFixed(0)} tokens/s` : null,
            isNumber(p.row.compress_share)
              ? `compression: ${spark.percent(p.row.compress_share)} of prefill` : null].filter(Boolean),
        } });
      key.replaceChildren(charts.legend(chart));
      charts.publish("speed", series.map(({ name, points }) => ({ name, points })), chart);
    };
    return { element: section, update };
  };

  const parts = [["key_values", "key values"], ["key_masks", "masks of kept channels"],
    ["key_signs", "signs of pruned channels"], ["key_scalars", "scalars for recovery"],
    ["values", "values"], ["dense_tail", "dense tail"]];

  // Ticks at round numbers of KiB or MiB, at least `least` bytes apart.
  const step = (least) => {
    const unit = 1024 ** Math.floor(Math.log(Math.max(1, least)) / Math.log(1024));
    return unit * [1, 2, 5, 10, 20, 50, 100, 200, 500, 1024].find((n) => n * unit >= least);
  };

  const byPart = () => {
    if (!ok.some((r) => r.kv_bytes && isNumber(r.kv_bytes.total))) {
      return { element: el.emptySection("bytes", "KV bytes by part", "not measured."),
        update: () => charts.publish("bytes", [], null) };
    }
    const { canvas, element } = charts.box("Bytes of the KV cache by part, a bar for each plan");
    const key = el.h("div");
    const section = el.section("bytes", "KV bytes by part",
      "What the stores allocated once the context was compressed, fewest first.", element, key);
    const update = ({ context, measure, types }) => {
      // One record a plan: of the measured task if there is one, so that contexts are equally long.
      const byPlan = new Map();
      for (const r of ok) {
        if (r.context !== context || !r.kv_bytes || !isNumber(r.kv_bytes.total)) continue;
        if (types !== "all" && spark.types(r) !== types && !spark.isBaseline(r)) continue;
        if (!byPlan.has(spark.planKey(r)) || r.task === measure.task) byPlan.set(spark.planKey(r), r);
      }
      const rows = [...byPlan.values()].sort((a, b) => a.kv_bytes.total - b.kv_bytes.total);
      section.hidden = rows.length === 0;
      const series = parts.map(([field, name]) => ({ name, points: rows.map((r) => ({
        x: r.kv_bytes[field] ?? 0, y: spark.planKey(r), point: r.point, x_column: `kv_bytes.${field}`,
        record: r })) }));
      element.style.height = `${rows.length * (charts.narrow() ? 36 : 25) + 60}px`;
      const datasets = series.map((s, i) => ({ label: s.name, data: s.points.map((p) => p.x),
        points: s.points, cssColor: `--part${i}`, edge: "--card", borderWidth: 0, bar: true, barPercentage: 0.86,
        categoryPercentage: 0.92 }));
      const labels = rows.map((r) => {
        const short = r.kv.length > 21 && charts.narrow() ? `${r.kv.slice(0, 20)}…` : r.kv;
        return charts.narrow() ? [short, spark.types(r)] : spark.planKey(r);
      });
      const chart = charts.draw(canvas, "bar", datasets, {
        x: charts.axis(`bytes at ${spark.contextText(context)}`, { stacked: true,
          ticks: { stepSize: step(Math.max(...rows.map((r) => r.kv_bytes.total)) / (charts.narrow() ? 3 : 7)),
            callback: (x) => spark.bytes(x) } }),
        y: charts.axis("", { stacked: true, ticks: { autoSkip: false, crossAlign: "far" },
          grid: { display: false } }) },
      { labels, indexAxis: "y", plugins: [], interaction: { mode: "index", axis: "y", intersect: false },
        tooltip: {
          title: ([item]) => (item ? spark.planKey(rows[item.dataIndex]) : ""),
          label: (item) => `${item.dataset.label}: ${spark.bytes(item.raw)}`,
          footer: ([item]) => { const r = rows[item.dataIndex];
            return `${spark.bytes(r.kv_bytes.total)}` +
              (isNumber(r.kv_share) ? `, ${spark.percent(r.kv_share)} of dense f16` : ""); },
        } });
      key.replaceChildren(charts.legend(chart));
      charts.publish("bytes", series, chart);
    };
    return { element: section, update };
  };

  return { decodeSpeed, byPart };
})();
