"use strict";
// Chart.js in the page's colours, and `sparkPlots`: what every plot shows, as plain series, so that
// tests (and the console) can read it.
window.sparkPlots = {};

const charts = (() => {
  const drawn = [];  // { chart, colors }: to be coloured again for another theme or for print
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const narrow = () => innerWidth < 560;

  // series: [{ name, x, y, points: [{ x, y, point, x_column, y_column, … }] }]; columns are the CSV's.
  const publish = (id, series, chart) => { window.sparkPlots[id] = { series, chart }; };

  // 95 % intervals: `low` and `high` of a point, as a line with caps.
  const whiskers = {
    id: "whiskers",
    beforeDatasetsDraw(chart) {
      const { ctx, scales, chartArea } = chart;
      ctx.save();
      ctx.lineWidth = 1;
      ctx.globalAlpha = 0.55;
      chart.data.datasets.forEach((dataset, i) => {
        if (!chart.isDatasetVisible(i)) return;
        ctx.strokeStyle = dataset.borderColor;
        for (const p of dataset.data) {
          if (!p || !spark.isNumber(p.low) || !spark.isNumber(p.high)) continue;
          const x = scales.x.getPixelForValue(p.x);
          const [y0, y1] = [p.low, p.high].map((v) =>
            Math.min(chartArea.bottom, Math.max(chartArea.top, scales.y.getPixelForValue(v))));
          if (Math.abs(y0 - y1) < 2) continue;
          ctx.beginPath();
          ctx.moveTo(x, y0); ctx.lineTo(x, y1);
          for (const y of [y0, y1]) { ctx.moveTo(x - 3, y); ctx.lineTo(x + 3, y); }
          ctx.stroke();
        }
      });
      ctx.restore();
    },
  };

  // Names beside points that carry a `label`, where there is room.
  const labels = {
    id: "labels",
    afterDatasetsDraw(chart) {
      if (narrow()) return;
      const { ctx, chartArea } = chart;
      const dots = [];
      chart.data.datasets.forEach((dataset, i) => {
        if (chart.isDatasetVisible(i) && dataset.pointRadius !== 0) {
          chart.getDatasetMeta(i).data.forEach((e) => dots.push([e.x, e.y]));
        }
      });
      ctx.save();
      ctx.font = `12px ${Chart.defaults.font.family}`;
      ctx.textBaseline = "middle";
      const taken = [];
      chart.data.datasets.forEach((dataset, i) => {
        if (!chart.isDatasetVisible(i)) return;
        chart.getDatasetMeta(i).data.forEach((e, k) => {
          const text = dataset.data[k].label;
          if (!text) return;
          const w = ctx.measureText(text).width + 4;
          const places = [[9, -13], [9, 13], [-w - 9, -13], [-w - 9, 13], [9, -28], [-w - 9, -28],
            [9, 28], [-w / 2, -42], [9, -44], [-w - 9, 28]];
          for (const [dx, dy] of places) {
            const b = [e.x + dx, e.y + dy - 8, e.x + dx + w, e.y + dy + 8];
            if (b[0] < chartArea.left || b[2] > chartArea.right || b[1] < chartArea.top ||
                b[3] > chartArea.bottom) continue;
            if (taken.some((t) => b[0] < t[2] && t[0] < b[2] && b[1] < t[3] && t[1] < b[3])) continue;
            if (dots.some(([x, y]) => x > b[0] - 4 && x < b[2] + 4 && y > b[1] - 3 && y < b[3] + 3)) continue;
            taken.push(b);
            ctx.fillStyle = css("--card");
            ctx.globalAlpha = 0.85;
            ctx.fillRect(b[0], b[1], w, 16);
            ctx.globalAlpha = 1;
            ctx.fillStyle = css("--ink");
            ctx.fillText(text, b[0] + 2, e.y + dy);
            return;
          }
        });
      });
      ctx.restore();
    },
  };

  const paint = (datasets) => {
    for (const dataset of datasets) {
      const color = dataset.cssColor.startsWith("--") ? css(dataset.cssColor) : dataset.cssColor;
      dataset.borderColor = color;
      dataset.pointBorderColor = dataset.edge ? css(dataset.edge) : color;
      dataset.backgroundColor = dataset.hollow ? css("--card") : color;
      dataset.pointBackgroundColor = dataset.backgroundColor;
    }
  };
  const theme = ({ chart }) => {
    paint(chart.data.datasets);
    for (const scale of Object.values(chart.options.scales)) {
      scale.ticks.color = css("--soft");
      scale.grid.color = css("--grid");
      scale.title.color = css("--soft");
    }
    Object.assign(chart.options.plugins.tooltip,
      { backgroundColor: css("--ink"), titleColor: css("--page"), bodyColor: css("--page"),
        footerColor: css("--page") });
    chart.update();
  };

  const axis = (title, more = {}) => ({ ...more, title: { display: true, text: title },
    ticks: { maxRotation: 0, autoSkipPadding: 12, ...more.ticks }, grid: { ...more.grid } });

  // A chart in a box of its own; datasets carry cssColor instead of colours.
  const draw = (canvas, type, datasets, scales, options = {}) => {
    for (let i = drawn.length; i-- > 0;) {
      if (drawn[i].chart.canvas === canvas || !drawn[i].chart.canvas) {
        drawn[i].chart.destroy();
        drawn.splice(i, 1);
      }
    }
    paint(datasets);
    const chart = new Chart(canvas, {
      type,
      data: { datasets, labels: options.labels },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, scales,
        indexAxis: options.indexAxis ?? "x", interaction: options.interaction ??
          { mode: "nearest", intersect: false, axis: "xy" },
        layout: { padding: { top: 6, right: 10 } },
        plugins: { legend: { display: false },
          tooltip: { displayColors: false, padding: 10, callbacks: options.tooltip ?? {} } },
      },
      plugins: options.plugins ?? [whiskers, labels],
    });
    const entry = { chart };
    drawn.push(entry);
    theme(entry);
    return chart;
  };

  // A key for the datasets that have a name; a press hides and shows.
  const mark = (dataset) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", "22");
    svg.setAttribute("height", "12");
    const add = (tag, attributes) => {
      const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [k, v] of Object.entries(attributes)) shape.setAttribute(k, v);
      svg.append(shape);
    };
    const color = `var(${dataset.cssColor})`;
    if (dataset.bar) {
      add("rect", { x: 4, y: 0, width: 14, height: 12, rx: 2, style: `fill:${color}` });
      return svg;
    }
    if (dataset.showLine !== false) {
      add("path", { d: "M0 6H22", style: `stroke:${color};stroke-width:2`,
        "stroke-dasharray": (dataset.borderDash ?? []).join(" ") });
    }
    const line = `stroke:${color};stroke-width:2;fill:none`;
    const full = dataset.hollow ? `fill:var(--card);stroke:${color};stroke-width:2` : `fill:${color}`;
    const shapes = {
      circle: ["circle", { cx: 11, cy: 6, r: 4, style: full }],
      triangle: ["path", { d: "M11 1L16 10H6Z", style: full }],
      rect: ["path", { d: "M7 2H15V10H7Z", style: full }],
      rectRot: ["path", { d: "M11 0.5L16.5 6L11 11.5L5.5 6Z", style: full }],
      star: ["path", { d: "M11 1V11M6 6H16M7.5 2.5L14.5 9.5M14.5 2.5L7.5 9.5", style: line }],
      cross: ["path", { d: "M11 1V11M6 6H16", style: line }],
      crossRot: ["path", { d: "M7.5 2.5L14.5 9.5M14.5 2.5L7.5 9.5", style: line }],
    };
    if (dataset.pointRadius !== 0) add(...(shapes[dataset.pointStyle] ?? shapes.circle));
    return svg;
  };
  const legend = (chart) => el.h("div", { class: "legend" }, chart.data.datasets.map((dataset, i) => {
    if (!dataset.label) return null;
    const button = el.h("button", { type: "button", "aria-pressed": String(chart.isDatasetVisible(i)),
      onclick: () => {
        chart.setDatasetVisibility(i, !chart.isDatasetVisible(i));
        button.setAttribute("aria-pressed", String(chart.isDatasetVisible(i)));
        chart.update("none");
      } }, mark(dataset), dataset.label);
    return button;
  }));

  const box = (label) => {
    const canvas = el.h("canvas", { role: "img", "aria-label": label });
    return { canvas, element: el.h("div", { class: "plot" }, canvas) };
  };

  const again = () => drawn.forEach(theme);
  Chart.defaults.font.family = getComputedStyle(document.documentElement).fontFamily;
  Chart.defaults.font.size = 12.5;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  const printing = (on) => {
    document.documentElement.classList.toggle("print", on);
    drawn.forEach((entry) => { entry.chart.resize(); theme(entry); });
  };
  addEventListener("beforeprint", () => printing(true));
  addEventListener("afterprint", () => printing(false));

  return { css, narrow, publish, axis, draw, legend, box };
})();
