// Connections: findings, clients with their sessions, and subscriptions, which can be paused.
import { useEffect, useState } from "./vendor/htm-preact.js";
import { operate } from "./api.js";
import { ask, attempt, byField, Facts, html, millis, notice, span, Table, when } from "./parts.js";
import { t } from "./text.js";

const states = { SUBSCRIPTION_STATE_CLOSED: "handles messages", SUBSCRIPTION_STATE_OPEN: "breaker open", SUBSCRIPTION_STATE_HALF_OPEN: "breaker half-open", SUBSCRIPTION_STATE_PAUSED: "paused" };

export function Connections({ info, health, paused }) {
  if (!health) return html`<p>${t("Loading…")}</p>`;
  return html`<h2>${t("Connections")}</h2>
    ${(health.findings ?? []).length > 0 && html`<section><h3>${t("Findings")}</h3><ul class="findings">${health.findings.map((f) => html`<li><code>${f.reason}</code> ${f.text}</li>`)}</ul></section>`}
    ${info.acts && html`<${Subscriptions} paused=${paused} />`}
    <section><h3>${t("Clients")}</h3>${health.clients.map((c, i) => html`<article class="card" key=${i}>
      <${Facts} facts=${[[t("State"), c.connected ? (c.ready ? t("ready") : t("connected")) : t("not connected")], [t("In flight"), c.in_flight], [t("Waiting"), c.queued], [t("Being handled"), c.running],
        [t("Late handlers"), c.handlers_late || ""], [t("Back-pressure"), c.back_pressure && span(millis(c.back_pressure))], [t("Parked"), c.parked || ""], [t("Duplicates"), Number(c.duplicates) || ""],
        [t("Without subscription"), Number(c.unmatched) || ""], [t("Sessions lost"), Number(c.sessions_lost) || ""], [t("Certificate ends in"), c.certificate_ends && span(Date.parse(c.certificate_ends) - Date.now())],
        [t("Last loss"), c.last_loss], [t("Last error"), c.last_error]]} />
      <${Table} label=${t("Sessions")} head=${[t("Client id"), t("Own session"), t("State"), t("Filters"), t("In flight"), t("Waiting"), t("Last error")]} empty=${t("none")}
        rows=${c.sessions.map((s) => ({ key: s.client_id, class: s.connected ? "" : "warn", cells: [s.client_id, s.name, s.connected ? t("connected") : t("not connected"), s.filters ? `${s.granted} / ${s.filters}` : "", s.in_flight, s.queued + s.running, s.last_error] }))} />
      ${c.filters.length > 0 && html`<${Table} label=${t("Filters")} head=${[t("Filter"), t("Own session"), t("Asked QoS"), t("Granted QoS"), t("Error")]}
        rows=${c.filters.map((f) => ({ key: f.session + " " + f.filter, class: f.error ? "warn" : "", cells: [f.filter, f.session, f.asked_qos, f.granted ? f.granted_qos : t("not granted"), f.error] }))} />`}
      ${c.top_parked_keys.length > 0 && html`<${Table} label=${t("Parked keys")} head=${[t("Parked key"), t("Subscription"), t("Waiting"), t("Since"), t("Last error")]}
        rows=${[...c.top_parked_keys].sort((a, b) => b.waiting - a.waiting).map((k) => ({ key: k.filter + k.key, cells: [html`<a href="#/letters?state=parked">${k.key}</a>`, k.filter, k.waiting, when(k.since), k.last_error] }))} />`}
    </article>`)}</section>`;
}

function Subscriptions({ paused }) {
  const [list, setList] = useState(null);
  const [error, setError] = useState("");
  const load = () => operate("ListSubscriptions", {}).then((r) => { setList(r.subscriptions); setError(""); }, (e) => setError(e.message));
  useEffect(() => {
    load();
    if (paused) return undefined;
    const timer = setInterval(load, 2000);
    return () => clearInterval(timer);
  }, [paused]);
  const pause = async (name) => {
    const asked = await ask({ title: t("Pause the subscription?"), text: [name, t("Its messages wait, at the broker or in this process, until it is resumed.")], action: t("Pause"), danger: true, fields: [byField(), { name: "why", label: t("Reason"), max: 80 }] });
    if (!asked) return;
    const r = await attempt(() => operate("PauseSubscription", { name, ...asked }));
    if (r) notice(r.error || `${t("Paused")}: ${name}`, !!r.error);
    load();
  };
  const resume = async (name) => {
    const asked = await ask({ title: t("Resume the subscription?"), text: name, action: t("Resume"), fields: [byField()] });
    if (!asked) return;
    if (await attempt(() => operate("ResumeSubscription", { name, ...asked }))) notice(`${t("Resumed")}: ${name}`);
    load();
  };
  return html`<section><h3>${t("Subscriptions")}</h3>
    ${error && html`<p class="faint">${error}</p>`}
    ${list && html`<${Table} label=${t("Subscriptions")} head=${[t("Subscription"), t("State"), t("Waiting"), t("Failures"), t("Since"), ""]} empty=${t("none")}
      rows=${list.map((s) => {
        const closed = s.state === "SUBSCRIPTION_STATE_CLOSED";
        return { key: s.name, class: closed ? "" : "warn", cells: [s.name,
          html`<span data-subscription=${s.name} data-state=${s.state}>${t(states[s.state] ?? s.state)}</span>${s.by && html`<br /><small>${s.by}${s.why && `: ${s.why}`}</small>`}${s.next_trial && html`<br /><small>${t("next attempt")} ${when(s.next_trial)}</small>`}${!closed && s.last_error && html`<br /><small>${s.last_error}</small>`}`,
          s.waiting, s.opens_at ? `${s.failures} / ${s.opens_at}` : "", when(s.since),
          closed ? html`<button data-row onClick=${() => pause(s.name)} aria-label=${`${t("Pause")} ${s.name}`}>${t("Pause")}</button>` : html`<button data-row onClick=${() => resume(s.name)} aria-label=${`${t("Resume")} ${s.name}`}>${t("Resume")}</button>`] };
      })} />`}</section>`;
}
