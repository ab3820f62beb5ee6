// Languages. The English text is the name of each text.
import { stored } from "./stored.js";
import { zh } from "./zh.js";

let current = stored.get("language") || (navigator.language.startsWith("zh") ? "zh" : "en");

document.documentElement.lang = current;

export const language = () => current;

export const locale = () => (current === "zh" ? "zh-CN" : undefined);

export function setLanguage(to) {
  current = to;
  document.documentElement.lang = to;
  stored.set("language", to);
}

export const t = (text) => (current === "zh" ? zh[text] ?? text : text);
