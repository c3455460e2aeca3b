"use strict";
// Elements of the page. Texts only ever become text nodes: records cannot bring markup.
const el = (() => {
  const h = (tag, properties = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "style") Object.assign(element.style, value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return element;
  };

  // A labelled choice; `options` are [value, text]. Stays away when there is nothing to choose.
  const choice = (label, options, value, onchange) => {
    const select = h("select", { onchange: () => onchange(select.value) },
      options.map(([v, text]) => h("option", { value: v, selected: v === value }, text)));
    return h("label", options.length < 2 ? { hidden: true } : {}, label, select);
  };

  const section = (id, title, lead, ...children) =>
    h("section", { id }, h("h2", {}, title), lead ? h("p", { class: "soft" }, lead) : null, children);
  const emptySection = (id, title, why) =>
    h("section", { id, class: "empty soft small" }, h("b", {}, title), ": ", why);

  // The small text beside the mouse, for pictures that are no charts.
  const box = document.getElementById("hover");
  const hover = (event, lines) => {
    box.hidden = !lines;
    if (!lines) return;
    box.replaceChildren(...lines.map((line) => h("div", {}, line)));
    box.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8))}px`;
    box.style.top = `${Math.max(8, event.clientY - box.offsetHeight - 10)}px`;
  };

  // Light for a high share: cividis, which colour-blind readers see alike.
  const stops = [[0, 32, 76], [33, 61, 107], [85, 91, 108], [123, 122, 119], [165, 156, 116],
    [211, 192, 100], [255, 233, 69]];
  const heat = (share) => {
    const at = Math.min(1, Math.max(0, share)) * (stops.length - 1);
    const i = Math.min(Math.floor(at), stops.length - 2);
    return stops[i].map((c, k) => Math.round(c + (at - i) * (stops[i + 1][k] - c)));
  };
  const heatStyle = (share) => {
    const [r, g, b] = heat(share);
    return { background: `rgb(${r},${g},${b})`,
      color: 0.299 * r + 0.587 * g + 0.114 * b > 120 ? "#111" : "#fff" };
  };
  const scale = (low, high) => h("div", { class: "scale" }, low, h("i", { style: { background:
    `linear-gradient(90deg, ${stops.map((c) => `rgb(${c})`).join(", ")})` } }), high);

  return { h, choice, section, emptySection, hover, heat, heatStyle, scale };
})();
