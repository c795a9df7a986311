// Every page: looked at by axe-core in light and dark, photographed, weighed; and the browser itself has nothing to complain of.
import { readFileSync, mkdirSync } from "node:fs";
import { artefacts, base, log_in, open, run, tab } from "./browser.mjs";

const axe = readFileSync(new URL("./node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const MOST = 200 * 1024;
const SIZES = { light: [1280, 900, "light"], dark: [1280, 900, "dark"], small: [320, 640, "light"], "small-dark": [320, 640, "dark"], wide: [2200, 1200, "light"] };
const CHECKED = ["light", "dark"];
const photographed = (process.env.CORDON_SIZES || "light,dark,small,wide").split(",");

run(async () => {
  mkdirSync(artefacts, { recursive: true });
  const browser = await open();
  const wrong = [];
  const pages = JSON.parse(process.env.CORDON_PAGES);
  const page = await tab(browser);
  const visit = async (name, path) => {
    for (const size of new Set([...CHECKED, ...photographed])) {
      const [width, height, scheme] = SIZES[size];
      await page.setViewport({ width, height });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      page.complaints.length = 0;
      const response = await page.goto(base + path, { waitUntil: "load" });
      if (response && response.status() >= 400 && !name.startsWith("refused")) wrong.push(`${name}: status ${response.status()}`);
      if (size === "light") {
        const bytes = (await response.buffer()).length;
        if (bytes > MOST) wrong.push(`${name}: ${bytes} bytes`);
      }
      if (CHECKED.includes(size)) {
        await page.setBypassCSP(false);
        // Evaluated by the debugger, so that the page's own policy stays in force.
        await page.evaluate(axe);
        const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
        for (const one of found.violations) {
          wrong.push(`${name} (${size}): ${one.id}: ${one.help}\n    ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200) + " " + (node.any[0]?.message || "")).join("\n    ")}`);
        }
      }
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (overflow > 0) wrong.push(`${name} (${size}): ${overflow} px wider than the screen`);
      for (const complaint of page.complaints) wrong.push(`${name} (${size}): the browser says: ${complaint}`);
      if (photographed.includes(size)) await page.screenshot({ path: `${artefacts}/${name}-${size}.png`, fullPage: true });
    }
  };
  await visit("login", "/console/login");
  await log_in(page);
  for (const [name, path] of pages) await visit(name, path);
  await browser.close();
  if (wrong.length) throw new Error(`${wrong.length} thing(s) are wrong:\n${wrong.join("\n")}`);
  console.log(`${pages.length + 1} pages looked at; screenshots are in ${artefacts}`);
});
