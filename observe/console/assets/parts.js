// What several pages use.
import { html, render, useEffect, useRef } from "./vendor/htm-preact.js";
import { stored } from "./stored.js";
import { t, locale } from "./text.js";

export { html };

export function notice(text, bad) {
  const p = document.createElement("p");
  p.textContent = text;
  p.className = bad ? "bad" : "";
  document.getElementById("notices").append(p);
  setTimeout(() => p.remove(), bad ? 12000 : 6000);
}

// attempt runs f and shows its error; it returns undefined then.
export async function attempt(f) {
  try {
    return await f();
  } catch (e) {
    notice(e.status === 0 ? t("The service does not answer.") : e.message, true);
    return undefined;
  }
}

// ask shows a dialog and returns the values of its fields, or null if it was dismissed.
export function ask({ title, text, action, danger, fields = [] }) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-labelledby", "ask");
    document.body.append(dialog);
    let answer = null;
    const submit = (e) => {
      e.preventDefault();
      answer = Object.fromEntries(new FormData(e.target));
      if ("by" in answer) stored.set("by", answer.by);
      dialog.close();
    };
    render(html`<form onSubmit=${submit}>
      <h2 id="ask">${title}</h2>
      ${[text].flat().filter(Boolean).map((line) => html`<p>${line}</p>`)}
      ${fields.map((f, i) => html`<label>${f.label}
        <input name=${f.name} value=${f.value ?? ""} required=${f.required} maxlength=${f.max ?? 200} autofocus=${i === 0} autocomplete="off" /></label>`)}
      <p class="actions">
        <button type="button" class="cancel" autofocus=${danger && !fields.length} onClick=${() => dialog.close()}>${t("Cancel")}</button>
        <button type="submit" class=${danger ? "danger" : "primary"}>${action}</button>
      </p></form>`, dialog);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    dialog.showModal();
  });
}

// toggled returns a set with x if it was without, else without it.
export function toggled(set, x) {
  const other = new Set(set);
  if (!other.delete(x)) other.add(x);
  return other;
}

// byField asks for the name that the service's log has for an act.
export const byField = () => ({ name: "by", label: t("Your name, for the log"), value: stored.get("by"), required: true, max: 64 });

export const clock = (ms) => (ms ? new Date(ms).toLocaleTimeString(locale(), { hour12: false }) : "");

export function when(value) {
  const ms = typeof value === "string" ? Date.parse(value) : value;
  if (!ms) return "";
  const d = new Date(ms);
  const today = d.toDateString() === new Date().toDateString();
  return (today ? "" : d.toLocaleDateString(locale()) + " ") + clock(ms);
}

export function span(ms) {
  if (!ms) return "–";
  if (ms < 0.1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 7200000) return `${Math.round(ms / 60000)} min`;
  return ms < 172800000 ? `${Math.round(ms / 3600000)} h` : `${Math.round(ms / 86400000)} d`;
}

// millis reads a duration of protobuf's JSON, such as 1.5s.
export const millis = (text) => parseFloat(text ?? 0) * 1000;

export function bytes(n) {
  n = Number(n);
  return n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1048576).toFixed(1)} MiB`;
}

// brief returns the beginning of a text that anybody may have made long.
export const brief = (text, most = 200) => (text.length > most ? text.slice(0, most) + "…" : text);

export const short = (operation) => operation.replace(/^\/(?:[\w]+\.)*/, "") || operation;

const token = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:]/g;

// maxIndent is the depth from which on lines are not indented further: the spaces of all lines
// grow with the square of the depth.
const maxIndent = 30;

// pretty indents JSON by its text alone, so that numbers stay as they are, and returns tokens
// with their classes. Other text is returned as it is.
export function pretty(text) {
  try {
    if (typeof JSON.parse(text) !== "object") return [["", text]];
  } catch {
    return [["", text]];
  }
  const found = text.match(token) ?? [];
  const out = [];
  let depth = 0;
  const line = () => out.push(["", "\n" + "  ".repeat(Math.min(depth, maxIndent))]);
  found.forEach((x, i) => {
    const next = found[i + 1];
    if (x === "{" || x === "[") {
      out.push(["", x]);
      depth++;
      if (next !== "}" && next !== "]") line();
    } else if (x === "}" || x === "]") {
      depth--;
      if (found[i - 1] !== "{" && found[i - 1] !== "[") line();
      out.push(["", x]);
    } else if (x === ",") {
      out.push(["", x]);
      line();
    } else if (x === ":") out.push(["", ": "]);
    else out.push([x[0] === '"' ? (next === ":" ? "key" : "string") : "number", x]);
  });
  return out;
}

export const plain = (text) => pretty(text).map(([, x]) => x).join("");

export const Code = ({ text, label }) =>
  html`<pre tabindex="0" aria-label=${label}>${pretty(text).map(([c, x]) => (c ? html`<span class=${c}>${x}</span>` : x))}</pre>`;

// difference returns lines with "+", "-" or " ".
export function difference(before, after) {
  const a = before.split("\n"), b = after.split("\n");
  if (a.length * b.length > 250000) return [...a.map((x) => ["-", x]), ...b.map((x) => ["+", x])];
  const best = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      best[i][j] = a[i] === b[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
  const out = [];
  let i = 0, j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) { out.push([" ", a[i]]); i++; j++; }
    else if (best[i + 1][j] >= best[i][j + 1]) out.push(["-", a[i++]]);
    else out.push(["+", b[j++]]);
  }
  while (i < a.length) out.push(["-", a[i++]]);
  while (j < b.length) out.push(["+", b[j++]]);
  return out;
}

// hex returns a dump of bytes in base64.
export function hex(base64) {
  const text = atob(base64 || "");
  let out = "";
  for (let at = 0; at < text.length; at += 16) {
    const row = [...text.slice(at, at + 16)];
    out += at.toString(16).padStart(4, "0") + "  " + row.map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join(" ").padEnd(49) +
      row.map((c) => (c >= " " && c <= "~" ? c : ".")).join("") + "\n";
  }
  return out;
}

// Cell is a cell of a table; on a narrow screen it has its name before it.
export const Cell = ({ name, n, children }) => html`<td data-label=${name} class=${(n ? "n" : "") + (children === "" ? " none" : typeof children === "string" && children.length <= 32 ? " whole" : "")}><div>${children}</div></td>`;

// Table has rows of cells; on a narrow screen each row is a block.
export const Table = ({ head, rows, empty, label }) => html`<table aria-label=${label}>
  <thead><tr>${head.map((h, i) => html`<th scope="col" class=${typeof rows[0]?.cells[i] === "number" ? "n" : ""}>${h}</th>`)}</tr></thead>
  <tbody>${rows.length ? rows.map((r) => html`<tr key=${r.key} class=${r.class}>${r.cells.map((c, i) => html`<${Cell} name=${head[i]} n=${typeof c === "number"}>${c}<//>`)}</tr>`)
    : html`<tr class="empty"><td colspan=${head.length}>${empty}</td></tr>`}</tbody></table>`;

export const Facts = ({ facts }) => html`<dl>${facts.filter(([, v]) => v !== "" && v !== undefined && v !== null)
  .map(([k, v]) => html`<div><dt>${k}</dt><dd>${v}</dd></div>`)}</dl>`;

// Chart draws lines over time. data has an array of seconds and one for each line.
export function Chart({ data, lines, height, label, small }) {
  const at = useRef(null), chart = useRef(null);
  useEffect(() => {
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: color("--faint-" + scheme()), grid: { stroke: color("--line-" + scheme()), width: 1 }, size: 48 };
    const make = () => {
      chart.current?.destroy();
      chart.current = new uPlot({
        width: Math.max(60, at.current.clientWidth), height, pxAlign: false,
        legend: { show: !small }, cursor: { show: !small, drag: { x: false, y: false } },
        scales: { y: { range: (u, min, max) => [0, Math.max(1, max * 1.1)] }, x: { time: true } },
        axes: small ? [{ show: false }, { show: false }] : [{ ...axis, size: 32 }, axis],
        padding: small ? [2, 0, 2, 0] : undefined,
        series: [{ label: t("Time") }, ...lines.map((l) => ({ label: l.label, stroke: color("--" + l.color + "-" + scheme()), width: 1.5, points: { show: false }, fill: small ? color("--" + l.color + "-" + scheme()) + "22" : undefined, value: (u, v) => (v === null ? "–" : l.text(v)) }))],
      }, data, at.current);
    };
    make();
    const width = new ResizeObserver(() => chart.current?.setSize({ width: Math.max(60, at.current.clientWidth), height }));
    width.observe(at.current);
    addEventListener("theme", make);
    return () => {
      width.disconnect();
      removeEventListener("theme", make);
      chart.current.destroy();
      chart.current = null;
    };
  }, [lines.map((l) => l.label).join()]);
  useEffect(() => chart.current?.setData(data));
  return html`<div class="chart" role="img" aria-label=${label} ref=${at}></div>`;
}

const dark = matchMedia("(prefers-color-scheme: dark)");

export const scheme = () => document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");

dark.addEventListener("change", () => dispatchEvent(new Event("theme")));
