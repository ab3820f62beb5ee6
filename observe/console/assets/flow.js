// Flow: what each operation handles and sends.
import { useState } from "./vendor/htm-preact.js";
import { Chart, Facts, html, short, span } from "./parts.js";
import { t } from "./text.js";

// history is the number of seconds of the charts.
export const history = 299;

// key returns what distinguishes the rows.
export const key = (o) => o.direction + o.operation + o.destination;

const seconds = (now, n) => Array.from({ length: n }, (_, i) => now - n + 1 + i);

const rateLine = () => ({ label: t("Messages a second"), color: "blue", text: (v) => String(v) });
const timeLine = () => ({ label: "p99", color: "orange", text: (v) => span(v) });

export function Flow({ flow }) {
  const [open, setOpen] = useState("");
  if (!flow) return html`<p>${t("Loading…")}</p>`;
  if (!flow.operations.length) return html`<h2>${t("Flow")}</h2><p>${t("No message was handled or sent since the service started.")}</p>`;
  const chosen = flow.operations.find((o) => key(o) === open);
  return html`<h2>${t("Flow")}</h2>
    ${["process", "send"].map((direction) => {
      const list = flow.operations.filter((o) => o.direction === direction);
      return list.length > 0 && html`<section key=${direction}><h3>${direction === "process" ? t("Handled") : t("Sent")}</h3>
        <table class="flow"><thead><tr>${["Operation", "Last 5 min", "Rate", "p50", "p99", "Age", "Waiting", "Errors", "Retries", "Letters"].map((h) => html`<th scope="col">${t(h)}</th>`)}</tr></thead>
        <tbody>${list.map((o) => html`<tr key=${key(o)}>
          <td data-label=${t("Operation")}><div><button class="link" data-row aria-expanded=${key(o) === open} onClick=${() => setOpen(key(o) === open ? "" : key(o))}>${short(o.operation) || t("others")}</button><br /><small>${o.destination}</small></div></td>
          <td data-label=${t("Last 5 min")}><${Chart} small height=${36} data=${[seconds(flow.now, o.series.rate.length), o.series.rate]} lines=${[rateLine()]}
            label=${`${t("Messages a second")}: ${o.rate}; ${t("highest")} ${Math.max(...o.series.rate)}`} /></td>
          <td class="n" data-label=${t("Rate")}>${o.rate}/s</td>
          <td class="n" data-label="p50">${span(o.p50_ms)}</td>
          <td class="n" data-label="p99">${span(o.p99_ms)}</td>
          <td class="n" data-label=${t("Age")}>${direction === "process" ? span(o.age_ms) : ""}</td>
          <td class="n" data-label=${t("Waiting")}>${direction === "process" ? o.waiting : ""}</td>
          <td class=${"n" + (o.errors ? " warn" : "")} data-label=${t("Errors")}>${o.errors}</td>
          <td class="n" data-label=${t("Retries")}>${direction === "process" ? o.retries : ""}</td>
          <td class=${"n" + (o.dead_letters ? " warn" : "")} data-label=${t("Letters")}>${direction === "process" ? html`<a href=${"#/letters?operation=" + encodeURIComponent(o.operation)}>${o.dead_letters}</a>` : ""}</td>
        </tr>`)}</tbody></table></section>`;
    })}
    ${chosen && html`<section class="card"><h3>${chosen.operation || t("others")}</h3>
      <${Facts} facts=${[[t("Topic or filter"), chosen.destination], [t("Messages since the start"), chosen.total], [t("Parked"), chosen.parked]]} />
      <${Chart} key=${open + "r"} height=${180} label=${t("Messages a second")} data=${[seconds(flow.now, chosen.series.rate.length), chosen.series.rate]} lines=${[rateLine()]} />
      <${Chart} key=${open + "p"} height=${180} label="p99" data=${[seconds(flow.now, chosen.series.p99_ms.length), chosen.series.p99_ms]} lines=${[timeLine()]} /></section>`}`;
}
