// Parses AsyncAPI documents and prints their errors; exits with 1 if there are any.
// Hints of the parser, such as that a newer version of AsyncAPI exists, are not
// errors.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const require = createRequire(new URL("../.tools/npm/package.json", import.meta.url));
const { Parser } = require("@asyncapi/parser");

const error = 0; // the severity
const parser = new Parser();
const files = process.argv.slice(2);
let errors = 0;
for (const file of files) {
  const { document, diagnostics } = await parser.parse(await readFile(file, "utf8"), { source: file });
  for (const d of diagnostics.filter((d) => d.severity === error)) {
    const { line, character } = d.range.start;
    console.error(`${file}:${line + 1}:${character + 1}: ${d.path.join(".")}: ${d.message}`);
    errors++;
  }
  if (document && document.operations().isEmpty()) {
    console.error(`${file}: no operations`);
    errors++;
  }
}
console.log(`${files.length} documents, ${errors} errors`);
process.exitCode = errors > 0 || files.length === 0 ? 1 : 0;
