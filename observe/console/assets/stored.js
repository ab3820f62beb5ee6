// What this browser remembers. A private window may forbid it.
export const stored = {
  get: (key) => { try { return localStorage.getItem("kratosmqtt." + key) ?? ""; } catch { return ""; } },
  set: (key, value) => { try { localStorage.setItem("kratosmqtt." + key, value); } catch { /* private window */ } },
};
