// Messages as they arrive and are sent.
import { useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { get, stream } from "./api.js";
import { brief, bytes, clock, Code, difference, Facts, hex, html, notice, plain, short, span } from "./parts.js";
import { t } from "./text.js";

// Bounds of what the page remembers; textKept is the length of the texts of all topics.
const kept = 300, topicsKept = 2000, textKept = 8_000_000;

const kinds = { retry: "retry", dead_letter: "dead letter", parked: "parked" };

export function Live({ paused, at, see }) {
  const [filter, setFilter] = useState(at.query.get("filter") ?? "");
  const [operation, setOperation] = useState("");
  const [text, setText] = useState("");
  const [operations, setOperations] = useState([]);
  const [rows, setRows] = useState([]);
  const [open, setOpen] = useState(null);
  const [dropped, setDropped] = useState(0);
  const last = useRef(new Map()), size = useRef(0);
  useEffect(() => { get("contract").then((c) => setOperations(c.services.flatMap((s) => s.operations.map((o) => o.operation)))).catch(() => {}); }, []);
  useEffect(() => {
    if (paused) return undefined;
    let fresh = [], timer = null;
    const take = (m) => {
      if (m.kind === "message" && m.decoder !== "raw") {
        m.before = last.current.get(m.topic);
        const forget = (topic) => { size.current -= last.current.get(topic)?.length ?? 0; last.current.delete(topic); };
        forget(m.topic);
        last.current.set(m.topic, m.text);
        size.current += m.text.length;
        while (last.current.size > topicsKept || size.current > textKept) forget(last.current.keys().next().value);
      }
      fresh.push(m);
      timer ??= setTimeout(() => {
        timer = null;
        const add = fresh.reverse();
        fresh = [];
        setRows((old) => [...add, ...old].slice(0, kept));
      }, 250);
    };
    const end = stream({ messages: 1, filter, operation }, {
      ...see, message: take, dropped: (d) => setDropped((n) => n + d.count), refused: (e) => notice(e.message, true),
    });
    return () => { clearTimeout(timer); end(); };
  }, [paused, filter, operation]);
  const wanted = text.toLowerCase();
  const shown = wanted ? rows.filter((m) => (m.topic + m.text + m.error + m.id).toLowerCase().includes(wanted)) : rows;
  return html`<h2>${t("Messages")}</h2>
    <form class="bar" onSubmit=${(e) => { e.preventDefault(); setFilter(new FormData(e.target).get("filter").trim()); }}>
      <label>${t("Topic filter")} <input name="filter" defaultValue=${filter} placeholder="devices/+/data" autocomplete="off" spellcheck=${false} onChange=${(e) => setFilter(e.target.value.trim())} /></label>
      <label>${t("Operation")} <select value=${operation} onChange=${(e) => setOperation(e.target.value)}><option value="">${t("all")}</option>${operations.map((o) => html`<option value=${o}>${short(o)}</option>`)}</select></label>
      <label>${t("Text")} <input value=${text} onInput=${(e) => setText(e.target.value)} autocomplete="off" /></label>
      <button type="button" onClick=${() => { setRows([]); setDropped(0); setOpen(null); }}>${t("Clear")}</button>
    </form>
    <p class="faint">${paused ? t("Paused.") : t("Shows what arrives and is sent from now on, the newest first.")} ${dropped > 0 && `${dropped} ${t("messages were not shown: more than 200 a second")}`}</p>
    <div class="split"><table class="live" aria-label=${t("Messages")}><thead><tr>${["Time", "Topic", "Payload"].map((h) => html`<th scope="col">${t(h)}</th>`)}</tr></thead>
    <tbody>${shown.slice(0, 200).map((m) => html`<tr key=${m.seq} class=${m.kind === "message" ? "" : "fate"}>
      <td data-label=${t("Time")}><div><span title=${m.direction === "send" ? t("sent") : t("received")}>${m.direction === "send" ? "↑" : "↓"}</span> ${clock(m.time_ms)}</div></td>
      <td data-label=${t("Topic")}><div><button class="link" data-row aria-pressed=${open?.seq === m.seq} onClick=${() => setOpen(m)}>${brief(m.topic)}</button> ${m.retained && html`<small class="tag">${t("retained")}</small>`} ${m.duplicate && html`<small class="tag">${t("duplicate")}</small>`}</div></td>
      <td data-label=${t("Payload")} ><div class="preview">${m.kind === "message" ? m.text.slice(0, 160) || (m.raw_base64 ? hex(m.raw_base64).slice(6, 54) : "") : `${t(kinds[m.kind])}: ${brief(m.error)}`}</div></td></tr>`)}
      ${!shown.length && html`<tr class="empty"><td colspan="3">${t("Waiting for messages…")}</td></tr>`}</tbody></table>
    ${open && html`<${Message} m=${open} close=${() => setOpen(null)} />`}</div>`;
}

function Message({ m, close }) {
  const [view, setView] = useState("text");
  const views = [["text", "Decoded"], ...(m.before === undefined ? [] : [["diff", "Changes"]]), ["raw", "Raw"]];
  const current = views.some(([v]) => v === view) ? view : "text";
  return html`<section class="card" aria-label=${t("Message")}><h3>${m.topic} <button onClick=${close}>${t("Close")}</button></h3>
    <${Facts} facts=${[
      [t("Time"), new Date(m.time_ms).toISOString()], [t("Operation"), m.operation], [t("Subscription"), m.filter], ["QoS", m.qos], [t("Id"), m.id],
      [t("Content type"), m.content_type], [t("Size"), bytes(m.size)], [t("Decoder"), m.decoder], [t("Note"), m.note], [t("Error"), m.error],
      [t("Attempt"), m.attempt || ""], [t("Next attempt after"), m.after_ms ? span(m.after_ms) : ""],
      [t("Letter"), m.letter && html`<a href=${"#/letters/" + encodeURIComponent(m.letter)}>${m.letter}</a>`], ...m.headers.map(([k, v]) => [k, v])]} />
    ${m.kind === "message" && html`<div class="tabs" role="group">${views.map(([v, name]) => html`<button aria-pressed=${v === current} onClick=${() => setView(v)}>${t(name)}</button>`)}</div>
      ${current === "raw" ? html`<pre tabindex="0">${hex(m.raw_base64)}</pre>`
        : current === "diff" ? html`<pre tabindex="0">${difference(plain(m.before), plain(m.text)).map(([mark, line]) => html`<span class=${mark === "+" ? "added" : mark === "-" ? "removed" : ""}>${mark} ${line}\n</span>`)}</pre>`
        : html`<${Code} text=${m.text} label=${t("Payload")} />`}`}</section>`;
}
