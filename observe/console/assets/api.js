// Requests to the service. Addresses are relative to the page, which may be below any prefix.
const base = new URL("api/", document.baseURI);

export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(path, options) {
  let res;
  try {
    res = await fetch(new URL(path, base), options);
  } catch {
    throw new Problem(0, "offline");
  }
  return answer(res);
}

async function answer(res) {
  const text = await res.text();
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    body = { message: text.slice(0, 300) };
  }
  if (res.status === 401) dispatchEvent(new Event("login"));
  if (!res.ok) throw new Problem(res.status, body.message || res.statusText);
  return body;
}

export const get = (path) => call(path, {});

export const post = (path, body) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });

// operate calls a method of the operator. 64-bit integers are strings in its replies.
export const operate = (method, body) => post("operator/" + method, body);

// actOnAll calls a method that acts on many things until none are left, or most were selected, and
// adds up what it did. The oldest are first.
export async function actOnAll(method, body, { most = Infinity, progress } = {}) {
  const sum = { selected: 0, done: 0, failed: 0, held: 0, problems: [] };
  for (let cursor = ""; ; ) {
    const out = await operate(method, { ...body, cursor, within: "4s", limit: Math.min(1000, most - sum.selected) });
    for (const key of ["selected", "done", "failed", "held"]) sum[key] += Number(out[key]);
    sum.problems.push(...out.problems);
    progress?.(sum);
    if (!out.next || out.next === cursor || sum.selected >= most) return sum;
    cursor = out.next;
  }
}

// refusal returns why the service refuses a stream, which the browser does not tell, or null.
async function refusal(address) {
  const stop = new AbortController();
  try {
    const res = await fetch(address, { signal: stop.signal });
    if (!res.ok) await answer(res);
  } catch (e) {
    if (e instanceof Problem) return e;
  } finally {
    stop.abort();
  }
  return null;
}

// stream listens to server-sent events and connects again after a loss, unless the request is
// wrong. It returns a function that ends it.
export function stream(query, { state, refused, ...handlers }) {
  let source, timer, ended = false;
  const open = () => {
    source = new EventSource(new URL("stream?" + new URLSearchParams(query), base));
    for (const [name, f] of Object.entries(handlers)) source.addEventListener(name, (e) => f(JSON.parse(e.data)));
    source.onopen = () => state(true);
    source.onerror = async () => {
      const closed = source.readyState === EventSource.CLOSED; // else the browser connects again
      const problem = closed ? await refusal(source.url) : null;
      if (ended) return;
      state(problem !== null);
      if (problem) refused?.(problem);
      if (closed && problem?.status !== 400) timer = setTimeout(open, problem ? 10000 : 2000);
    };
  };
  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    source.close();
  };
}
