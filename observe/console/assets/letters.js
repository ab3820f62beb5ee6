// Letters: messages that were not handled, by cause; show, replay, edit, archive, delete.
import { useEffect, useState } from "./vendor/htm-preact.js";
import { actOnAll, operate } from "./api.js";
import { ask, attempt, brief, bytes, byField, Code, Facts, hex, html, notice, plain, short, Table, toggled, when } from "./parts.js";
import { t } from "./text.js";

// The acts of each state: name, method, whether it deletes.
const acts = {
  dead: [["Replay", "ReplayLetters"], ["Archive", "ArchiveLetters", true], ["Delete", "DeleteLetters", true]],
  parked: [["Retry", "RetryParked"], ["Make dead letters", "DeadLetterParked", true], ["Delete", "DeleteParked", true]],
};

export function Letters({ info, at, paused }) {
  if (!info.acts) return html`<h2>${t("Letters")}</h2><p>${t("This console cannot act on letters.")}</p>`;
  return at.rest[0] ? html`<${Letter} key=${at.rest[0]} id=${at.rest[0]} />` : html`<${List} key=${String(at.query)} query=${at.query} paused=${paused} />`;
}

const searched = ["topic", "operation", "reason"];

const link = (query) => "#/letters?" + new URLSearchParams(Object.entries(query).filter(([, v]) => v));

function List({ query, paused }) {
  const parked = query.get("state") === "parked" && "parked";
  const state = parked || "dead";
  const criteria = Object.fromEntries(["fingerprint", ...searched].map((k) => [k, query.get(k)]).filter(([, v]) => v));
  const [groups, setGroups] = useState(null);
  const [letters, setLetters] = useState([]);
  const [next, setNext] = useState("");
  const [chosen, setChosen] = useState(new Set());
  const [progress, setProgress] = useState("");
  const base = { criteria, state: "STATE_" + state.toUpperCase() };
  const read = async () => {
    const [g, l] = await Promise.all([operate("ListGroups", base), operate("ListLetters", { ...base, limit: 100 })]);
    setGroups(g.groups);
    setLetters(l.letters);
    setNext(l.next);
  };
  const load = () => attempt(async () => {
    await read();
    setChosen(new Set());
  });
  useEffect(() => { load(); }, []);
  const still = paused || chosen.size > 0 || letters.length > 100 || progress !== ""; // what is chosen, or was loaded in addition, stays
  useEffect(() => {
    if (still) return undefined;
    const timer = setInterval(() => { if (!document.querySelector("dialog")) read().catch(() => {}); }, 3000); // the header shows a loss
    return () => clearInterval(timer);
  }, [still]);
  const more = () => attempt(async () => {
    const l = await operate("ListLetters", { ...base, limit: 100, cursor: next });
    setLetters([...letters, ...l.letters]);
    setNext(l.next);
  });
  const act = (name, method, deletes) => attempt(async () => {
    const which = chosen.size ? { ids: [...chosen] } : Object.keys(criteria).length ? { criteria } : { all: true };
    const dry = await actOnAll(method, { ...which, dry_run: true, by: "-" });
    if (!dry.selected) return notice(t("No letter is selected."), true);
    const asked = await ask({ title: `${t(name)}: ${dry.selected} ${t("letters")}?`, text: chosen.size ? letters.some((l) => chosen.has(l.id) && l.suspect) && t("The service may not have written some of these letters.") : t("All letters that match are selected, also those that are not on this page."), action: t(name), danger: deletes, fields: [byField()] });
    if (!asked) return undefined;
    const out = await actOnAll(method, { ...which, confirmed: chosen.size > 0 && method === "ReplayLetters", by: asked.by }, { most: Number(dry.selected), progress: (sum) => setProgress(`${sum.done} / ${dry.selected}`) }).finally(() => setProgress(""));
    notice(`${t(name)}: ${out.done} ${t("done")}, ${out.failed} ${t("failed")}, ${out.held} ${t("held back")}`, out.failed > 0);
    for (const p of out.problems.slice(0, 3)) notice(`${p.topic}: ${p.error}`, true);
    return load();
  });
  const search = (e) => {
    e.preventDefault();
    const f = new FormData(e.target);
    location.hash = link({ state: parked, fingerprint: criteria.fingerprint, ...Object.fromEntries(searched.map((k) => [k, f.get(k).trim()])) });
  };
  return html`<h2>${t("Letters")}</h2>
    <div class="tabs" role="group"><a class="button" aria-current=${!parked || undefined} href="#/letters">${t("Dead")}</a> <a class="button" aria-current=${!!parked || undefined} href="#/letters?state=parked">${t("Parked")}</a></div>
    <form class="bar" onSubmit=${search}>${searched.map((k) => html`<label>${t({ topic: "Topic filter", operation: "Operation", reason: "Reason" }[k])} <input name=${k} defaultValue=${criteria[k] ?? ""} autocomplete="off" /></label>`)}
      <button>${t("Search")}</button> ${Object.keys(criteria).length > 0 && html`<a href=${link({ state: parked })}>${t("Show all")}</a>`}</form>
    ${!groups ? html`<p>${t("Loading…")}</p>` : html`
    <section><h3>${t("Causes")}</h3><${Table} label=${t("Causes")} head=${[t("Letters"), t("Error"), t("Operation"), t("Last")]} empty=${t("There are no letters.")}
      rows=${groups.map((g) => ({ key: g.fingerprint, class: g.fingerprint === criteria.fingerprint ? "chosen" : "", cells: [
        Number(g.count), html`<a data-row href=${link({ state: parked, fingerprint: g.fingerprint })}>${g.error_type}</a><br /><small>${g.pattern}</small>`, short(g.operation) || g.subscription, when(g.last)] }))} /></section>
    ${letters.length > 0 && html`<section><h3>${t("Letters")}</h3>
      <p class="bar">${acts[state].map(([name, method, deletes]) => html`<button class=${name === "Delete" ? "danger" : ""} onClick=${() => act(name, method, deletes)}>${t(name)} ${chosen.size ? `(${chosen.size})` : t("all that match")}</button>`)} <span role="status">${progress}</span></p>
      <${Table} label=${t("Letters")} head=${["", t("Received"), t("Topic"), t("Reason"), t("Replays")]} rows=${letters.map((l) => ({ key: l.id, cells: [
        html`<input type="checkbox" aria-label=${l.id} checked=${chosen.has(l.id)} onChange=${() => setChosen(toggled(chosen, l.id))} />`, when(l.received),
        html`<a class=${l.topic.length <= 32 && "whole"} data-row data-letter=${l.id} href=${"#/letters/" + encodeURIComponent(l.id)}>${brief(l.topic)}</a>${l.suspect && html` <small class="tag" title=${l.suspect}>${t("suspect")}</small>`}`, l.reason.slice(0, 200), l.replays] }))} />
      ${next && html`<p><button onClick=${more}>${t("More")}</button></p>`}</section>`}`}`;
}

function Letter({ id }) {
  const [shown, setShown] = useState(null);
  const [gone, setGone] = useState("");
  const [text, setText] = useState(null); // while it is edited
  const [raw, setRaw] = useState(false);
  useEffect(() => { operate("GetLetter", { id }).then(setShown, (e) => setGone(e.message)); }, []);
  if (gone) return html`<h2>${t("Letter")}</h2><p>${gone}</p><p><a href="#/letters">${t("All letters")}</a></p>`;
  if (!shown) return html`<p>${t("Loading…")}</p>`;
  const l = shown.letter;
  const parked = l.state === "STATE_PARKED";
  const act = (name, method, deletes) => attempt(async () => {
    const asked = await ask({ title: `${t(name)}?`, text: [l.topic, l.suspect && `${t("The service may not have written this letter")}: ${l.suspect}`], action: t(name), danger: deletes || !!l.suspect, fields: [byField()] });
    if (!asked) return;
    const out = await operate(method, { ids: [id], confirmed: method === "ReplayLetters" && !!l.suspect, by: asked.by });
    if (Number(out.done) === 1) {
      notice(`${t(name)}: ${t("done")}`);
      location.hash = parked ? "#/letters?state=parked" : "#/letters";
    } else notice(out.problems[0]?.error || out.error || t("failed"), true);
  });
  const send = () => attempt(async () => {
    const asked = await ask({ title: t("Replay with this payload?"), text: l.topic, action: t("Replay"), fields: [byField()] });
    if (!asked) return;
    await operate("ReplayEdited", { id, text, by: asked.by, confirmed: !!l.suspect });
    notice(t("The edited message was published."));
    location.hash = "#/letters";
  });
  // A payload that cannot be decoded is begun anew from its text.
  const edit = () => { setText(plain(shown.text || (shown.decoder === "raw" ? "{}" : ""))); requestAnimationFrame(() => document.getElementById("edit")?.focus()); };
  return html`<p><a href=${parked ? "#/letters?state=parked" : "#/letters"}>← ${t("All letters")}</a></p><h2>${l.topic}</h2>
    <p class="reason">${l.reason}</p>
    <div class="bar">${acts[parked ? "parked" : "dead"].map(([name, method, deletes]) => html`<button class=${name === "Delete" ? "danger" : ""} onClick=${() => act(name, method, deletes)}>${t(name)}</button>`)}
      ${!parked && text === null && html`<button onClick=${edit}>${t("Edit and replay")}</button>`}</div>
    <${Facts} facts=${[[t("Id"), l.id], [t("Operation"), l.operation], [t("Subscription"), l.subscription], [t("Key"), l.key], [t("Event id"), l.event_id], [t("Error"), l.error_type], [t("Attempts"), l.attempts],
      [t("Received"), when(l.received)], [t("Given up"), when(l.time)], [t("Dead letter from"), l.until ? when(l.until) : ""], ["QoS", l.qos], [t("Content type"), l.content_type], [t("Size"), bytes(l.payload_size)],
      [t("Replays"), l.replays || ""], [t("Edited by"), l.edit ? `${l.edit.by}, ${when(l.edit.time)}` : ""], [t("Suspect"), l.suspect], [t("Missing"), l.omitted],
      [t("Decoder"), shown.decoder], [t("Note"), shown.note], ...shown.headers.map((h) => [h.key, h.value])]} />
    ${text === null ? html`<div class="tabs" role="group"><button aria-pressed=${!raw} onClick=${() => setRaw(false)}>${t("Decoded")}</button><button aria-pressed=${raw} onClick=${() => setRaw(true)}>${t("Raw")}</button></div>
      ${raw || shown.decoder === "raw" ? html`<pre tabindex="0">${hex((shown.payload ?? "").slice(0, 8192))}</pre>` : html`<${Code} text=${shown.text} label=${t("Payload")} />`}`
    : html`<label>${t("Payload as JSON or text")}<textarea id="edit" rows="14" spellcheck=${false} value=${text} onInput=${(e) => setText(e.target.value)}></textarea></label>
      <p class="actions"><button onClick=${() => setText(null)}>${t("Cancel")}</button> <button class="primary" onClick=${send}>${t("Replay edited")}</button></p>`}`;
}
