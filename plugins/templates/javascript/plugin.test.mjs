// `node --test` builds the component and checks it: gradients, extreme batches, and the numbers in `tests/batch.json`.

import { ok } from "node:assert";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

// Runs `lossmith` (or the program that `LOSSMITH` names) in this folder; what it says is shown when it fails.
function lossmith(...given) {
    const program = process.env.LOSSMITH ?? "lossmith";
    const result = spawnSync(program, given, { cwd: new URL(".", import.meta.url), encoding: "utf8" });
    const said = result.error ?? result.stdout + result.stderr;
    ok(result.status === 0, `lossmith ${given.join(" ")} failed:\n${said}`);
}

test("the component passes its check", () => {
    lossmith("plugin", "build", ".", "--out", "target/plugins");
    lossmith("plugin", "check", "target/plugins/{{name}}.wasm", "--batch", "tests/batch.json");
});
