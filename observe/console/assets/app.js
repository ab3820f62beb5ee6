// The frame of the page: navigation, the state of the service, settings, and the keyboard.
import { html, render, useEffect, useLayoutEffect, useState } from "./vendor/htm-preact.js";
import { get, post, stream } from "./api.js";
import { attempt, notice, scheme } from "./parts.js";
import { stored } from "./stored.js";
import { language, setLanguage, t } from "./text.js";
import { Flow, history, key } from "./flow.js";
import { Live } from "./live.js";
import { Topics } from "./topics.js";
import { Letters } from "./letters.js";
import { Connections } from "./connections.js";
import { Outbox } from "./outbox.js";
import { Contract } from "./contract.js";

const pages = [
  ["flow", "Flow", Flow], ["live", "Messages", Live], ["topics", "Topics", Topics], ["letters", "Letters", Letters],
  ["connections", "Connections", Connections], ["outbox", "Outbox", Outbox], ["contract", "Contract", Contract],
];

const decoded = (text) => { try { return decodeURIComponent(text); } catch { return text; } };

const place = () => {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/").map(decoded);
  return { page: pages.some(([id]) => id === page) ? page : "flow", rest, query: new URLSearchParams(query) };
};

// flowAfter adds a second to what was known of the flow.
function flowAfter(known, now) {
  if (!known) return null;
  const past = new Map(known.operations.map((o) => [key(o), o.series]));
  const gap = Math.min(history, Math.max(0, now.now - known.now));
  const none = Array(history).fill(0), pad = none.slice(0, Math.max(0, gap - 1));
  return {
    now: now.now,
    operations: now.operations.map((o) => {
      const before = past.get(key(o)) ?? { rate: none, p99_ms: none };
      if (gap === 0) return { ...o, series: before };
      return { ...o, series: { rate: [...before.rate, ...pad, o.rate].slice(-history), p99_ms: [...before.p99_ms, ...pad, o.rate ? o.p99_ms : 0].slice(-history) } };
    }),
  };
}

function App() {
  const [info, setInfo] = useState(null);
  const [login, setLogin] = useState(false);
  const [at, go] = useState(place());
  const [health, setHealth] = useState(null);
  const [flow, setFlow] = useState(null);
  const [online, setOnline] = useState(true);
  const [paused, setPaused] = useState(false);
  const [help, setHelp] = useState(false);
  const [, again] = useState(0);

  const load = async () => {
    const i = await get("info").catch((e) => (e.status === 401 ? setLogin(true) : setOnline(false)));
    if (!i) return;
    document.title = [[i.service, i.version].filter(Boolean).join(" "), t("Console")].filter(Boolean).join(" · ");
    setFlow(await attempt(() => get("flow")));
    setLogin(false);
    setInfo(i);
  };
  useLayoutEffect(() => { // before the page can be used
    const moved = () => go(place());
    const refused = () => setLogin(true);
    addEventListener("hashchange", moved);
    addEventListener("login", refused);
    load();
    return () => removeEventListener("hashchange", moved);
  }, []);
  // A browser opens six connections to a service at most, so that each tab has one stream: on
  // the page of live messages it is that of the messages.
  const see = { flow: (f) => setFlow((known) => flowAfter(known, f)), health: setHealth, state: setOnline };
  const live = at.page === "live";
  useEffect(() => {
    if (!info || login || paused) return undefined;
    attempt(async () => setFlow(await get("flow")));
    return live ? undefined : stream({}, { ...see, refused: (e) => notice(e.message, true) });
  }, [info, login, paused, live]);
  useLayoutEffect(() => {
    const pressed = (e) => {
      if (e.ctrlKey || e.altKey || e.metaKey || e.target.closest("input, textarea, select, dialog")) return;
      const number = Number(e.key);
      if (number >= 1 && number <= pages.length) location.hash = "#/" + pages[number - 1][0];
      else if (e.key === "p") setPaused((p) => !p);
      else if (e.key === "?") setHelp((h) => !h);
      else if (e.key === "/") document.querySelector("main input, main select")?.focus();
      else if (e.key === "j" || e.key === "k") step(e.key === "j" ? 1 : -1);
      else return;
      e.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);

  useEffect(() => document.querySelector("nav [aria-current]")?.scrollIntoView({ inline: "nearest", block: "nearest" }), [at.page, login]);

  const setTheme = () => {
    const next = scheme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    stored.set("theme", next);
    dispatchEvent(new Event("theme"));
    again((n) => n + 1);
  };
  const speak = () => {
    setLanguage(language() === "zh" ? "en" : "zh");
    again((n) => n + 1);
  };
  const Page = pages.find(([id]) => id === at.page)[2];
  const state = !online ? "offline" : health?.status ?? "…";
  return html`<a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.getElementById("main").focus(); }}>${t("Skip to the content")}</a>
    <header>
      <h1>${info?.service || t("Console")} <small>${info?.version}</small></h1>
      <a class="state" data-state=${state} href="#/connections">${t(state)}</a>
      <span class="tools">
        <button aria-pressed=${paused} onClick=${() => setPaused(!paused)} title="p">${paused ? t("Continue") : t("Pause")}</button>
        <button onClick=${setTheme}>${scheme() === "dark" ? t("Light") : t("Dark")}</button>
        <button onClick=${speak} lang=${language() === "zh" ? "en" : "zh"}>${language() === "zh" ? "English" : "中文"}</button>
        <button onClick=${() => setHelp(!help)} aria-expanded=${help} title="?">${t("Keys")}</button>
        ${info?.token && !login && html`<button onClick=${async () => { await attempt(() => post("logout")); location.reload(); }}>${t("Leave")}</button>`}
      </span>
    </header>
    ${help && html`<aside><p>${t("1–7: page · p: pause and continue · /: first field · j, k: next and previous row · ?: this help · Esc: close a dialog")}</p></aside>`}
    ${login ? html`<${Login} done=${load} />` : html`
    <nav aria-label=${t("Pages")}>${pages.map(([id, name], i) => html`<a key=${id} href=${"#/" + id} aria-current=${at.page === id ? "page" : undefined} title=${i + 1}>${t(name)}</a>`)}</nav>
    <main id="main" tabindex="-1">${info && html`<${Page} key=${at.page + language()} info=${info} at=${at} flow=${flow} health=${health} paused=${paused} see=${see} />`}
      ${!info && !online && html`<p>${t("The service does not answer.")}</p>`}</main>`}`;
}

// step moves the focus to another row.
function step(by) {
  const rows = [...document.querySelectorAll("main [data-row]")];
  rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(document.activeElement) + by))]?.focus();
}

function Login({ done }) {
  const [wrong, setWrong] = useState("");
  const submit = async (e) => {
    e.preventDefault();
    setWrong("");
    try {
      await post("login", { token: new FormData(e.target).get("token") });
    } catch (problem) {
      setWrong(problem.status === 401 ? t("This is not the token.") : problem.message);
      return;
    }
    done();
  };
  return html`<main id="main" tabindex="-1"><form class="login" onSubmit=${submit}>
    <h2>${t("Token")}</h2>
    <p>${t("This console needs the token of the operator. It is in the configuration of the service.")}</p>
    <label>${t("Token")} <input name="token" type="password" autocomplete="current-password" required autofocus aria-invalid=${!!wrong} /></label>
    ${wrong && html`<p class="bad" role="alert">${wrong}</p>`}
    <p class="actions"><button class="primary">${t("Enter")}</button></p></form></main>`;
}

if (stored.get("theme")) document.documentElement.dataset.theme = stored.get("theme");
render(html`<${App} />`, document.getElementById("app"));
