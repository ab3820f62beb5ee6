// Topics: a tree of what this service received and sent, and the retained messages of the broker.
import { useEffect, useState } from "./vendor/htm-preact.js";
import { get, operate } from "./api.js";
import { ask, attempt, byField, bytes, Code, html, notice, Table, toggled, when } from "./parts.js";
import { t } from "./text.js";

export function Topics({ info }) {
  return html`<h2>${t("Topics")}</h2><section><h3>${t("Seen by this service")}</h3><${Level} /></section>${info.acts && html`<${Retained} />`}`;
}

function Level({ prefix }) {
  const [list, setList] = useState(null);
  const [open, setOpen] = useState(new Set());
  useEffect(() => { attempt(async () => setList(await get("topics" + (prefix === undefined ? "" : "?" + new URLSearchParams({ prefix }))))); }, []);
  if (!list) return html`<p>${t("Loading…")}</p>`;
  if (!list.topics.length) return html`<p class="faint">${t("none")}</p>`;
  return html`<ul class="tree">${list.topics.map((l) => html`<li key=${l.topic}>
    ${l.children ? html`<button class="link" data-row aria-expanded=${open.has(l.topic)} onClick=${() => setOpen(toggled(open, l.topic))}>${open.has(l.topic) ? "▾" : "▸"} ${l.level || "″"}</button>` : html`<span>${l.level || "″"}</span>`}
    <small>${l.count} · ${when(l.last_ms)} · <a href=${"#/live?filter=" + encodeURIComponent(l.topic + (l.children ? "/#" : ""))}>${t("watch")}</a></small>
    ${open.has(l.topic) && html`<${Level} prefix=${l.topic} />`}</li>`)}${list.truncated && html`<li class="faint">${t("Not all topics are shown.")}</li>`}</ul>`;
}

function Retained() {
  const [list, setList] = useState(null);
  const [filter, setFilter] = useState("#");
  const [next, setNext] = useState(null); // what asks for the next page
  const [chosen, setChosen] = useState(new Set());
  const [open, setOpen] = useState("");
  const [note, setNote] = useState("");
  const load = (page = { filter }) => attempt(async () => {
    const r = await operate("ListRetained", { ...page, limit: 100 });
    setList(page.cursor ? [...list, ...r.messages] : r.messages);
    setNext(r.next && { ...page, cursor: r.next });
    setNote(r.incomplete ? t("The broker has more retained messages than could be read: use a narrower filter.") : "");
    setChosen(new Set());
  });
  const clear = () => attempt(async () => {
    const topics = [...chosen];
    const asked = await ask({ title: `${t("Clear retained messages")}: ${topics.length}?`, text: [...topics.slice(0, 10), topics.length > 10 && "…"], action: t("Clear"), danger: true, fields: [byField()] });
    if (!asked) return;
    const out = await operate("ClearRetained", { topics, by: asked.by });
    notice(`${t("Clear")}: ${out.done} ${t("done")}, ${out.failed} ${t("failed")}`, Number(out.failed) > 0);
    load();
  });
  return html`<section><h3>${t("Retained messages")}</h3>
    <form class="bar" onSubmit=${(e) => { e.preventDefault(); load(); }}><label>${t("Topic filter")} <input name="retained" value=${filter} onInput=${(e) => setFilter(e.target.value)} autocomplete="off" spellcheck=${false} /></label> <button>${t("Read")}</button>
      <button type="button" class="danger" disabled=${!chosen.size} onClick=${clear}>${t("Clear")} (${chosen.size})</button></form>
    ${note && html`<p class="faint">${note}</p>`}
    ${list && html`<${Table} label=${t("Retained messages")} head=${["", t("Topic"), t("Size"), t("Payload")]} empty=${t("none")} rows=${list.map((m) => ({ key: m.topic, cells: [
      html`<input type="checkbox" aria-label=${m.topic} checked=${chosen.has(m.topic)} onChange=${() => setChosen(toggled(chosen, m.topic))} />`,
      html`<button class="link" data-row aria-expanded=${open === m.topic} onClick=${() => setOpen(open === m.topic ? "" : m.topic)}>${m.topic}</button>`, bytes(Number(m.omitted) || Math.floor((m.payload.replace(/=+$/, "").length * 3) / 4)),
      open === m.topic ? html`<${Code} text=${m.text} />` : html`<span class="preview">${m.text.slice(0, 120)}</span>`] }))} />`}
    ${next && html`<p><button onClick=${() => load(next)}>${t("More")}</button></p>`}</section>`;
}
