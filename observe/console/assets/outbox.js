// Outbox: messages that wait for the broker, and those that it refuses.
import { useEffect, useState } from "./vendor/htm-preact.js";
import { actOnAll, operate } from "./api.js";
import { ask, attempt, byField, bytes, Facts, html, millis, notice, span, Table, when } from "./parts.js";
import { t } from "./text.js";

export function Outbox({ info, health, paused }) {
  const boxes = (health?.clients ?? []).map((c) => c.outbox).filter(Boolean);
  return html`<h2>${t("Outbox")}</h2>
    ${health && !boxes.length && html`<p>${t("This service has no outbox: publishing waits for the broker.")}</p>`}
    ${boxes.map((o, i) => html`<section class="card" key=${i}><${Facts} facts=${[[t("Waiting"), o.depth], [t("Size"), bytes(o.bytes)], [t("Oldest"), span(millis(o.age))], [t("Full"), `${(o.fill * 100).toFixed(1)} %`],
      [t("Keys that wait"), o.closed_keys], [t("In quarantine"), o.quarantined], [t("Delayed"), Number(o.delayed) || ""], [t("Next due"), o.next_due ? when(o.next_due) : ""], [t("Without subscriber"), Number(o.unrouted) || ""], [t("Expired"), Number(o.expired) || ""],
      [t("Gate"), o.gate_closed ? t("closed until the own subscriptions are granted") : ""], [t("Last refusal"), o.refused], [t("Error of the store"), o.error]]} /></section>`)}
    ${info.acts && boxes.length > 0 && html`<${Entries} kind="Waiting" title="Waiting" paused=${paused} /><${Entries} kind="Quarantined" title="Quarantine" paused=${paused} />`}`;
}

function Entries({ kind, title, paused }) {
  const [list, setList] = useState(null);
  const [next, setNext] = useState("");
  const [error, setError] = useState("");
  const load = () => operate("List" + kind, { limit: 50 }).then((r) => { setList(r.entries); setNext(r.next); setError(""); }, (e) => setError(e.message));
  useEffect(() => {
    load();
    if (paused) return undefined;
    const timer = setInterval(load, 3000);
    return () => clearInterval(timer);
  }, [paused]);
  const act = (name, method, which, text) => attempt(async () => {
    const asked = await ask({ title: `${t(name)}?`, text, action: t(name), danger: name === "Delete", fields: [byField()] });
    if (!asked) return;
    const out = await actOnAll(method + kind, { ...which, by: asked.by });
    notice(`${t(name)}: ${out.done} ${t("done")}, ${out.failed} ${t("failed")}`, out.failed > 0);
    load();
  });
  return html`<section><h3>${t(title)}</h3>${error && html`<p class="faint">${error}</p>`}
    ${list && list.length > 0 && html`<p class="bar"><button onClick=${() => act("Retry", "Retry", { all: true }, t("All entries"))}>${t("Retry all")}</button> <button class="danger" onClick=${() => act("Delete", "Delete", { all: true }, t("All entries"))}>${t("Delete all")}</button></p>`}
    ${list && html`<${Table} label=${t(title)} head=${["#", t("Time"), t("Topic"), t("Key"), t("Size"), t("Reason"), ""]} empty=${t("none")} rows=${list.map((e) => ({ key: e.seq, cells: [e.seq, when(e.time), e.topic, e.key, bytes(e.payload_size), e.reason,
      html`<button data-row onClick=${() => act("Retry", "Retry", { seqs: [e.seq] }, e.topic)}>${t("Retry")}</button> <button class="danger" onClick=${() => act("Delete", "Delete", { seqs: [e.seq] }, e.topic)}>${t("Delete")}</button>`] }))} />`}
    ${next && html`<p class="faint">${t("There are more.")}</p>`}</section>`;
}
