// Contract: the events that the service declares, and a form for each that publishes it.
import { useEffect, useState } from "./vendor/htm-preact.js";
import { get, post } from "./api.js";
import { ask, attempt, byField, Code, Facts, html, notice, span } from "./parts.js";
import { t } from "./text.js";

export function Contract({ info, at }) {
  const [contract, setContract] = useState(null);
  const [open, setOpen] = useState(at.rest[0] ?? "");
  useEffect(() => { attempt(async () => setContract(await get("contract"))); }, []);
  if (!contract) return html`<p>${t("Loading…")}</p>`;
  return html`<h2>${t("Contract")}</h2>
    ${contract.problem && html`<p class="bad">${contract.problem}</p>`}
    ${!contract.services.length && html`<p>${t("This program declares no events.")}</p>`}
    ${contract.services.map((s) => html`<section key=${s.name}><h3>${s.name}</h3><p class="faint">${s.file}</p><${Text} text=${s.description} />
      ${s.operations.map((o) => html`<article class="card" key=${o.operation}>
        <h4><button class="link" data-row aria-expanded=${open === o.operation} onClick=${() => setOpen(open === o.operation ? "" : o.operation)}>${o.name}</button> <code>${o.topics[0]}</code>
          <small class="tag">${o.reply ? t("request") : t("event")}</small>${!o.subscribes && html`<small class="tag">${t("only sent")}</small>`}${!o.publishes && html`<small class="tag">${t("only handled")}</small>`}</h4>
        ${open === o.operation && html`<${Operation} o=${o} messages=${contract.messages} publishes=${info.publishes} />`}</article>`)}</section>`)}`;
}

// Text shows a comment of a .proto file, a paragraph for each of its own.
const Text = ({ text }) => (text || "").split("\n\n").filter(Boolean).map((p) => html`<p class="text">${p}</p>`);

function Operation({ o, messages, publishes }) {
  return html`<${Text} text=${o.description} />
    <${Facts} facts=${[[t("Operation"), o.operation], [t("Topics"), o.topics.join(", ")], ["QoS", o.qos], [t("Codec"), o.codec], [t("Retained"), o.retain ? t("yes") : ""], [t("Expiry"), o.expiry_ms ? span(o.expiry_ms) : ""],
      [t("Group"), o.group], [t("Ordering key"), o.ordering_key], [t("Id field"), o.id_field], [t("Dead letters to"), o.dead_letter]]} />
    <h5>${o.request}</h5><${Text} text=${messages[o.request]?.description} /><${Fields} name=${o.request} messages=${messages} depth=${0} />
    ${o.reply && html`<h5>${t("Reply")}: ${o.reply}</h5><${Text} text=${messages[o.reply]?.description} /><${Fields} name=${o.reply} messages=${messages} depth=${0} />`}
    ${publishes && html`<${Try} o=${o} messages=${messages} />`}`;
}

const typeOf = (f) => {
  const type = f.message || (f.enum ? "enum" : f.type);
  return f.key ? `map<${f.key}, ${type}>` : f.repeated ? `repeated ${type}` : type;
};

const wellKnown = (name) => name.startsWith("google.protobuf.");

function Fields({ name, messages, depth }) {
  const fields = messages[name]?.fields ?? [];
  return html`<ul class="fields">${fields.map((f) => html`<li key=${f.name}><code>${f.name}</code> <span class="faint">${typeOf(f)}${f.optional ? ` · ${t("optional")}` : ""}${f.oneof ? ` · oneof ${f.oneof}` : ""}</span>
    ${f.enum && html`<span class="faint"> ${f.enum.join(", ")}</span>`}
    <${Text} text=${f.description} />
    ${f.message && !wellKnown(f.message) && depth < 3 && html`<${Fields} name=${f.message} messages=${messages} depth=${depth + 1} />`}</li>`)}</ul>`;
}

const uuid = () => crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");

// Kinds of fields in a form: numbers are sent as they are typed, 64-bit ones as text, as
// protobuf's JSON has them, so that none is rounded.
const wide = /^(s?int64|uint64|s?fixed64)$/;
const narrow = /^(s?int32|uint32|s?fixed32)$/;
const number = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;

// valueOf returns what is filled in for a field, which may have the name of a property that every
// object has, such as constructor.
const valueOf = (values, path) => (Object.hasOwn(values, path) ? values[path] : "");

function Try({ o, messages }) {
  const [values, setValues] = useState({ [o.id_field]: uuid() });
  const [json, setJSON] = useState(null); // text, once somebody edits it as JSON
  const [result, setResult] = useState(null);
  const [busy, setBusy] = useState(false);
  const fields = messages[o.request]?.fields ?? [];
  const text = json ?? jsonOf(fields, values, messages, "");
  const submit = async (e) => {
    e.preventDefault();
    const asked = await ask({ title: o.reply ? t("Send the request?") : t("Publish the event?"), text: o.operation, action: o.reply ? t("Send the request") : t("Publish"), fields: [byField()] });
    if (!asked) return;
    setBusy(true);
    const r = await attempt(() => post("publish", { operation: o.operation, message: text, by: asked.by }));
    setBusy(false);
    setResult(r ?? null);
    if (r) {
      notice(`${t("Published")}: ${r.topic}`);
      if (o.id_field && json === null) setValues({ ...values, [o.id_field]: uuid() });
    }
  };
  return html`<form class="try" onSubmit=${submit}><h5>${t("Try it")}</h5>
    <p class="faint">${t("This publishes to the broker of this service.")}</p>
    ${json === null ? fields.map((f) => html`<${Input} key=${f.name} f=${f} path=${f.name} values=${values} set=${setValues} messages=${messages} depth=${0} />`)
      : html`<label>JSON <textarea rows="10" spellcheck=${false} value=${json} onInput=${(e) => setJSON(e.target.value)}></textarea></label>`}
    <p class="actions"><button type="button" onClick=${() => setJSON(json === null ? text : null)}>${json === null ? t("Edit as JSON") : t("Back to the form")}</button>
      <button class="primary" disabled=${busy}>${o.reply ? t("Send the request") : t("Publish")}</button></p>
    ${result && html`<p role="status">${t("Published")}: <code>${result.topic}</code>, ${span(result.took_ms)}</p>`}
    ${result?.reply && html`<${Code} text=${result.reply} label=${t("Reply")} />`}</form>`;
}

function Input({ f, path, values, set, messages, depth }) {
  const value = valueOf(values, path);
  const change = (e) => set({ ...values, [path]: e.target.value });
  const label = html`${f.name} <span class="faint">${typeOf(f)}</span>`;
  const many = f.repeated || f.key;
  if (f.message && !wellKnown(f.message) && !many && depth < 3)
    return html`<fieldset><legend>${label}</legend>${(messages[f.message]?.fields ?? []).map((g) => html`<${Input} key=${g.name} f=${g} path=${path + "." + g.name} values=${values} set=${set} messages=${messages} depth=${depth + 1} />`)}</fieldset>`;
  if (f.enum && !many) return html`<label>${label} <select name=${path} value=${value} onChange=${change}><option value=""></option>${f.enum.map((v) => html`<option>${v}</option>`)}</select></label>`;
  if (f.type === "bool" && !many) return html`<label>${label} <select name=${path} value=${value} onChange=${change}><option value=""></option><option>true</option><option>false</option></select></label>`;
  if (f.message === "google.protobuf.Timestamp" && !many)
    return html`<label>${label} <span class="row"><input name=${path} value=${value} onInput=${change} placeholder="2026-01-02T03:04:05Z" autocomplete="off" /><button type="button" onClick=${() => set({ ...values, [path]: new Date().toISOString() })}>${t("Now")}</button></span></label>`;
  if (many || f.message) return html`<label>${label} <textarea name=${path} rows="2" spellcheck=${false} value=${value} onInput=${change} placeholder=${f.repeated ? "[]" : "{}"}></textarea></label>`;
  return html`<label>${label} <input name=${path} value=${value} onInput=${change} inputmode=${narrow.test(f.type) || wide.test(f.type) ? "numeric" : undefined} autocomplete="off" /></label>`;
}

// jsonOf returns the JSON of what is filled in.
function jsonOf(fields, values, messages, prefix) {
  const parts = [];
  for (const f of fields) {
    const path = prefix + f.name, value = valueOf(values, path).trim(), many = f.repeated || f.key;
    if (f.message && !wellKnown(f.message) && !many) {
      const filled = Object.entries(values).some(([k, v]) => k.startsWith(path + ".") && v.trim());
      if (filled) parts.push([f.name, jsonOf(messages[f.message]?.fields ?? [], values, messages, path + ".")]);
    } else if (value !== "") parts.push([f.name, literal(f, value, many)]);
  }
  return parts.length ? `{\n${parts.map(([k, v]) => `  ${JSON.stringify(k)}: ${v.replace(/\n/g, "\n  ")}`).join(",\n")}\n}` : "{}";
}

function literal(f, value, many) {
  if (many || (f.message && !/^google\.protobuf\.(Timestamp|Duration|FieldMask|StringValue|BytesValue)$/.test(f.message))) return value;
  if (f.type === "bool") return value;
  if ((narrow.test(f.type) || f.type === "double" || f.type === "float") && number.test(value)) return value;
  return JSON.stringify(value);
}
