"use strict";
// Heat maps: where a needle is found, and what of the keys was kept.
const pictures = (() => {
  const { ok, isNumber, planKey } = spark;
  const { h } = el;
  const best = () => {
    const found = [...spark.verdicts].reverse().find((v) => v.best);
    return found && planKey(found.best);
  };

  const needle = () => {
    const rows = ok.filter((r) => Array.isArray(r.by_depth) && r.by_depth.length > 0);
    if (rows.length === 0) {
      return { element: el.emptySection("needle", "Needle by depth and context",
        "not measured; add needle to --task."), update: () => charts.publish("needle", [], null) };
    }
    const tasks = spark.unique(rows.map((r) => r.task));
    const plans = spark.unique(rows.map(planKey));
    const contexts = spark.unique(rows.map((r) => r.context)).sort((a, b) => a - b);
    const depths = spark.unique(rows.flatMap((r) => r.by_depth.map((d) => d.depth))).sort((a, b) => a - b);
    const baseline = rows.find(spark.isBaseline);

    const pointsOf = (task, plan) => rows.filter((r) => r.task === task && planKey(r) === plan)
      .flatMap((r) => r.by_depth.map((d) => ({ x: r.context, y: d.depth, value: d.score, n: d.n,
        point: r.point, plan, value_column: `by_depth.${d.depth}.score`, x_column: "context" })));
    const map = (title, points) => {
      const cell = (context, depth) => {
        const p = points.find((q) => q.x === context && q.y === depth);
        if (!p || !isNumber(p.value)) return h("td", { class: "soft" }, "–");
        return h("td", { style: el.heatStyle(p.value),
          onpointermove: (e) => el.hover(e, [p.plan, `score ${p.value} at depth ${spark.percent(depth, 0)}`,
            `context ${context}, ${p.n ?? "?"} samples`]),
          onpointerleave: (e) => el.hover(e) }, p.value.toFixed(2));
      };
      return h("div", {}, h("h3", { class: "mono" }, title), h("table", { class: "heat" },
        h("thead", {}, h("tr", {}, h("th", { class: "corner" }, "depth"),
          contexts.map((c) => h("th", { scope: "col" }, c)))),
        h("tbody", {}, depths.map((depth) => h("tr", {},
          h("th", { scope: "row" }, spark.percent(depth, 0)), contexts.map((c) => cell(c, depth)))))));
    };

    const start = plans.includes(best()) ? best() : plans[plans.length - 1];
    const state = { plan: start, task: tasks.includes("needle") ? "needle" : tasks[0] };
    const maps = h("div", { class: "two" });
    const draw = () => {
      const points = pointsOf(state.task, state.plan);
      const base = baseline ? planKey(baseline) : null;
      const series = [{ name: state.plan, points }];
      maps.replaceChildren(map(state.plan, points));
      if (base && base !== state.plan) {
        series.push({ name: base, points: pointsOf(state.task, base) });
        maps.append(map(`${base} (uncompressed)`, series[1].points));
      }
      charts.publish("needle", series, null);
    };
    const section = el.section("needle", "Needle by depth and context",
      "Share of facts found again. Across: tokens of context. Down: where the fact stands, 0 % at the start.",
      h("div", { class: "tools" },
        el.choice("Plan", plans.map((p) => [p, p]), state.plan, (p) => { state.plan = p; draw(); }),
        el.choice("Task", tasks.map((t) => [t, t]), state.task, (t) => { state.task = t; draw(); })),
      maps, el.scale("0 none found", "1 all found"));
    draw();
    return { element: section, update: () => {} };
  };

  const kept = () => {
    const rows = ok.filter((r) => r.kept && Array.isArray(r.kept.layers) && r.kept.layers.length > 0);
    if (rows.length === 0) {
      return { element: el.emptySection("kept", "What was kept", "not recorded."),
        update: () => { charts.publish("kept-layers", [], null); charts.publish("kept-channels", [], null); } };
    }
    const hasChannels = (r) => Array.isArray(r.kept.channels) && r.kept.channels.length > 0 &&
      Array.isArray(r.kept.channels[0]);
    const name = (r) => `${planKey(r)} · ${r.task} at ${r.context}`;
    rows.sort((a, b) => hasChannels(b) - hasChannels(a));
    const layersBox = charts.box("Kept share of keys in each layer");
    layersBox.element.style.height = "330px";
    const pixels = h("canvas", { class: "pixels", role: "img", "aria-label": "Kept share by layer and channel" });
    const axes = h("div", { class: "axes" });
    const noChannels = h("p", { class: "small soft" }, "Channels were not recorded for this plan.");

    const drawChannels = (r) => {
      const picture = hasChannels(r) ? r.kept.channels : [];
      const width = Math.max(0, ...picture.map((row) => row.length));
      axes.hidden = width === 0;
      noChannels.hidden = width !== 0;
      charts.publish("kept-channels", width === 0 ? [] : [{ name: name(r), points: picture.flatMap((row, layer) =>
        row.map((value, channel) => ({ x: channel, y: layer, value, point: r.point,
          value_column: `kept.channels.${layer}.${channel}` }))) }], null);
      if (width === 0) return;
      pixels.width = width;
      pixels.height = picture.length;
      const image = new ImageData(width, picture.length);
      picture.forEach((row, y) => row.forEach((value, x) => {
        image.data.set([...el.heat(isNumber(value) ? value : 0), 255], 4 * (y * width + x));
      }));
      pixels.getContext("2d").putImageData(image, 0, 0);
      pixels.onpointermove = (e) => {
        const box = pixels.getBoundingClientRect();
        const x = Math.min(width - 1, Math.floor((e.clientX - box.left) / box.width * width));
        const y = Math.min(picture.length - 1, Math.floor((e.clientY - box.top) / box.height * picture.length));
        const value = picture[y]?.[x];
        el.hover(e, isNumber(value)
          ? [`layer ${y}, channel ${x}`, `kept for ${spark.percent(value, 0)} of tokens`] : null);
      };
      pixels.onpointerleave = (e) => el.hover(e);
      axes.replaceChildren(
        h("div", { class: "y" }, h("span", {}, "layer 0"), h("span", {}, String(picture.length - 1))), pixels,
        h("div", { class: "x" }, h("span", {}, "channel 0"), h("span", {}, String(width - 1))));
    };

    let current = rows.find((r) => hasChannels(r) && isNumber(r.ratio)) ?? rows[0];
    const draw = () => {
      const series = [{ name: name(current), points: current.kept.layers.map((y, x) => ({ x, y,
        point: current.point, y_column: `kept.layers.${x}` })) }];
      const chart = charts.draw(layersBox.canvas, "bar",
        [{ label: "kept", data: series[0].points.map((p) => p.y), cssColor: "--c0", borderWidth: 0, bar: true,
          barPercentage: 0.9, categoryPercentage: 0.95 }],
        { x: charts.axis("layer", { grid: { display: false } }),
          y: charts.axis("kept, of tokens × channels", { min: 0, max: 1,
            ticks: { callback: (y) => spark.percent(y, 0) } }) },
        { labels: series[0].points.map((p) => String(p.x)), plugins: [],
          interaction: { mode: "index", intersect: false },
          tooltip: { title: ([item]) => `layer ${item.label}`,
            label: (item) => `keeps ${spark.percent(item.raw)}` } });
      charts.publish("kept-layers", series, chart);
      drawChannels(current);
    };
    const options = rows.map((r) => [r.point, name(r)]);
    const section = el.section("kept", "What was kept",
      "Of the keys, by layer and, for the first KV head of each layer, by channel.",
      h("div", { class: "tools" }, el.choice("Plan", options, current.point,
        (point) => { current = rows.find((r) => r.point === point); draw(); })),
      h("div", { class: "two" },
        h("div", {}, h("h3", {}, "By layer"), layersBox.element),
        h("div", {}, h("h3", {}, "By channel: share of tokens that kept it"), axes, noChannels,
          el.scale("0 %", "100 %"))));
    let isDrawn = false;
    return { element: section, update: () => { if (!isDrawn) draw(); isDrawn = true; } };
  };

  return { needle, kept };
})();
