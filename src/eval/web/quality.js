"use strict";
// Quality against bytes and against the share that is pruned.
const quality = (() => {
  const { ok, isNumber } = spark;

  const rowsOf = ({ context, measure, types }) => ok.filter((r) => r.task === measure.task &&
    r.context === context && isNumber(r[measure.field]) &&
    (types === "all" || spark.types(r) === types || spark.isBaseline(r)));

  const pointOf = (measure, x_column) => (r) => ({
    x: r[x_column], y: r[measure.field], low: measure.low && r[measure.low],
    high: measure.high && r[measure.high], point: r.point, plan: spark.planKey(r), record: r,
    x_column, y_column: measure.field,
  });

  // A few plans that fail badly must not press all others onto the axis: they stand at the upper
  // edge, and their figures are told when hovered. Returns that edge, or Infinity.
  const edgeOf = (measure, points) => {
    if (measure.better === "more") return Infinity;
    const sorted = points.map((p) => p.y).sort((a, b) => a - b);
    const usual = sorted[Math.floor(0.7 * (sorted.length - 1))];
    const edge = Math.max(2.2 * usual, measure.limits ? 0.075 : 0);
    if (!(edge > 0) || sorted[sorted.length - 1] <= 1.3 * edge) return Infinity;
    const step = 10 ** Math.floor(Math.log10(edge));
    return Number((Math.ceil(edge / step) * step).toPrecision(3));
  };
  const shown = (points, edge) => points.map((p) => (p.y > edge ? { ...p, y: edge, low: undefined } : p));
  const edgeNote = (points, edge, measure) => {
    const above = points.filter((p) => p.y > edge);
    if (above.length === 0) return "";
    return `Above the plot, drawn at its upper edge: ${above.map((p) =>
      `${p.plan} (${measure.text(p.y)})`).join("; ")}.`;
  };

  const tooltip = (measure, raw) => ({
    title: ([item]) => item?.raw.plan ?? "",
    label: (item) => {
      const p = raw.get(item.raw.point) ?? item.raw;
      const lines = [`${measure.title}: ${measure.text(p.y)}`];
      if (isNumber(p.low) && isNumber(p.high)) {
        lines.push(`95 %: ${measure.text(p.low)} to ${measure.text(p.high)}`);
      }
      if (isNumber(p.record?.kv_share)) {
        lines.push(`${spark.percent(p.record.kv_share)} of dense f16, ` +
          `${Math.round(p.record.kv_bytes_per_token)} bytes a token`);
      }
      return lines;
    },
  });

  // From the fewest bytes up: each point that is better than all before it.
  const front = (points, better) => {
    const sorted = [...points].sort((a, b) => a.x - b.x || (better === "less" ? a.y - b.y : b.y - a.y));
    let best = better === "less" ? Infinity : -Infinity;
    return sorted.filter((p) => {
      const wins = better === "less" ? p.y < best : p.y > best;
      if (wins) best = p.y;
      return wins;
    });
  };

  const limitLines = (measure, from, to) => (measure.limits ?? []).map((limit) => ({
    data: [{ x: from, y: limit }, { x: to, y: limit }], cssColor: "--soft", borderDash: [3, 4],
    borderWidth: 1, pointRadius: 0, pointHitRadius: 0, showLine: true,
  }));
  // Whiskers have room; scores stand on the whole of their scale.
  const ends = (measure, points, edge) => {
    const inside = points.filter((p) => p.y <= edge);
    const lows = inside.map((p) => p.low).filter(isNumber);
    const highs = inside.map((p) => p.high).filter(isNumber);
    if (measure.field === "score") return { suggestedMin: 0, suggestedMax: 1 };
    return { suggestedMin: measure.better === "less" ? 0 : Math.min(...lows, 1),
      suggestedMax: Math.max(...highs, 0) };
  };
  const yAxis = (measure, points, edge) => charts.axis(charts.narrow() ? measure.short ?? measure.title : measure.title, {
    max: edge === Infinity ? undefined : edge, grace: edge === Infinity && measure.better === "less" ? "4%" : 0,
    ...ends(measure, points, edge),
    ticks: { callback: (y) => (measure.id === "perplexity_loss" || measure.id === "top1"
      ? spark.percent(y, edge < 0.05 ? 1 : 0) : Number(y.toPrecision(3))) },
  });
  const share = (title, more) =>
    charts.axis(title, { ...more, ticks: { includeBounds: false, callback: (x) => `${Math.round(100 * x)} %` } });

  const byBytes = () => {
    const { canvas, element } = charts.box("Quality against bytes of the KV cache");
    const key = el.h("div");
    const note = el.h("p", { class: "small soft" });
    const section = el.section("pareto", "Quality against bytes",
      "Each dot is a plan: measured bytes of its KV cache, of a dense f16 cache, and what it loses. " +
      "The line joins those that no other plan beats in both; the lower left" +
      " (upper left for scores) is where to be.", element, key, note);
    const update = (state) => {
      const { measure } = state;
      const points = rowsOf(state).filter((r) => isNumber(r.kv_share)).map(pointOf(measure, "kv_share"));
      const edge = edgeOf(measure, points);
      const best = front(points, measure.better);
      const names = new Set(best.map((p) => p.point));
      const series = spark.methods.map((method) => ({ name: method,
        points: points.filter((p) => spark.methodOf(p.record) === method) })).filter((s) => s.points.length);
      const datasets = series.map((s) => ({
        label: s.name === "none" ? "none (nothing pruned)" : s.name,
        data: shown(s.points, edge).map((p) => ({ ...p, label: names.has(p.point) ? p.plan : undefined })),
        cssColor: spark.methodStyle(s.name).color, pointStyle: spark.methodStyle(s.name).shape,
        pointRadius: 5.5, pointHoverRadius: 8, borderWidth: 2, showLine: false, clip: false,
      }));
      datasets.push({ label: "best for its bytes", data: shown(best, edge), cssColor: "--soft", order: 1,
        borderWidth: 1.5, pointRadius: 0, pointHitRadius: 0, showLine: true, stepped: "before" });
      const last = Math.max(1, ...points.map((p) => p.x));
      datasets.push(...limitLines(measure, 0, last));
      const raw = new Map(points.map((p) => [p.point, p]));
      const chart = charts.draw(canvas, "scatter", datasets,
        { x: share("bytes, share of dense f16", { min: 0, max: last > 1.02 ? undefined : 1.02 }),
          y: yAxis(measure, points, edge) }, { tooltip: tooltip(measure, raw) });
      key.replaceChildren(charts.legend(chart));
      note.textContent = edgeNote(points, edge, measure);
      charts.publish("pareto", [...series, { name: "best for its bytes", points: best }], chart);
    };
    return { element: section, update };
  };

  const byRatio = () => {
    const { canvas, element } = charts.box("Quality against pruned share, by method");
    const key = el.h("div");
    const note = el.h("p", { class: "small soft" });
    const section = el.section("ratio", "Quality against ratio, by method",
      "Ratio: share of key channels removed, or of tokens where a plan only evicts. Whiskers are 95 % " +
      "intervals where they were measured.", element, key, note);
    const update = (state) => {
      const { measure } = state;
      const points = rowsOf(state).filter((r) => isNumber(r.ratio)).map(pointOf(measure, "ratio"));
      section.hidden = points.length === 0;
      if (points.length === 0) {
        charts.publish("ratio", [], null);
        return;
      }
      const edge = edgeOf(measure, points);
      const name = (p) => `${spark.methodOf(p.record)} · ${spark.types(p.record)}`;
      const series = spark.unique(points.map(name)).map((n) => ({ name: n,
        points: points.filter((p) => name(p) === n).sort((a, b) => a.x - b.x) }));
      const typesSeen = spark.unique(points.map((p) => spark.types(p.record)));
      const datasets = series.map((s) => {
        const style = spark.methodStyle(spark.methodOf(s.points[0].record));
        const i = typesSeen.indexOf(spark.types(s.points[0].record));
        return { label: s.name, data: shown(s.points, edge), cssColor: style.color,
          pointStyle: style.shape, hollow: i > 0, pointRadius: 5, pointHoverRadius: 8, borderWidth: 2, clip: false,
          borderDash: [[], [7, 4], [2, 3], [9, 3, 2, 3]][i % 4], showLine: true };
      });
      datasets.push(...limitLines(measure, 0, 1));
      const baseline = rowsOf(state).find(spark.isBaseline);
      if (baseline && measure.better === "more") {
        datasets.push({ label: "none · f16, f16", cssColor: "--none", borderDash: [3, 4], borderWidth: 1.5,
          pointRadius: 0, pointHitRadius: 0, showLine: true,
          data: [0, 1].map((x) => ({ x, y: baseline[measure.field] })) });
      }
      const raw = new Map(points.map((p) => [p.point, p]));
      const chart = charts.draw(canvas, "scatter", datasets,
        { x: share("removed", { min: 0, max: 1 }), y: yAxis(measure, points, edge) },
        { tooltip: tooltip(measure, raw) });
      key.replaceChildren(charts.legend(chart));
      note.textContent = edgeNote(points, edge, measure);
      charts.publish("ratio", series, chart);
    };
    return { element: section, update };
  };

  return { byBytes, byRatio };
})();
