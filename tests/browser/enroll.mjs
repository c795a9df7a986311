// Somebody at the enrolment page with nothing but a keyboard: a wrong code, a right one, the profile. Every page on the way is looked at by
// axe-core in light and dark and on a screen of 320 px, and photographed.
import { readFileSync, mkdirSync } from "node:fs";
import { artefacts, base, open, run, sees, tab } from "./browser.mjs";

const axe = readFileSync(new URL("./node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const SIZES = { light: [1280, 900, "light"], dark: [1280, 900, "dark"], small: [320, 640, "light"], "small-dark": [320, 640, "dark"] };
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

run(async () => {
  mkdirSync(artefacts, { recursive: true });
  const browser = await open();
  const page = await tab(browser);
  const wrong = [];

  const look = async (name) => {
    for (const [size, [width, height, scheme]] of Object.entries(SIZES)) {
      await page.setViewport({ width, height });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.evaluate(axe);
      const found = await page.evaluate((rules) => window.axe.run(document, { runOnly: rules }), RULES);
      for (const one of found.violations) wrong.push(`${name} (${size}): ${one.id}: ${one.help}: ${one.nodes[0].html.slice(0, 200)}`);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (over > 0) wrong.push(`${name} (${size}): ${over} px wider than the screen`);
      await page.screenshot({ path: `${artefacts}/${name}-${size}.png`, fullPage: true });
    }
    await page.setViewport({ width: 320, height: 640 });
  };
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.tagName);
  /** Tab, until the focus is here; every stop on the way must be seen to be one. */
  const walk_to = async (wanted) => {
    for (let step = 0; step < 20; step += 1) {
      await page.keyboard.press("Tab");
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      if (outline === "none") wrong.push(`the focus on ${await focused()} cannot be seen`);
      if ((await focused()) === wanted) return;
    }
    throw new Error(`the keyboard does not reach ${wanted}`);
  };
  const enter = async () => Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.keyboard.press("Enter")]);

  await page.goto(`${base}/enroll`, { waitUntil: "load" });
  await look("enroll");
  await walk_to("skip");
  await walk_to("code");
  await page.keyboard.type("2222-2222-2222");
  await enter();
  await sees(page, "That did not work");
  if ((await focused()) !== "code") wrong.push(`after a wrong code the focus is on ${await focused()}`);
  const told = await page.$eval("#code", (field) => field.getAttribute("aria-describedby").split(" ").map((id) => document.getElementById(id).innerText).join(" "));
  if (!told.includes("letter by letter")) wrong.push(`a screen reader at the field hears only: ${told}`);
  await look("enroll-wrong");
  await page.focus("#code");
  await page.keyboard.down("Control");
  await page.keyboard.press("a");
  await page.keyboard.up("Control");
  await page.keyboard.type(process.env.CORDON_CODE.toUpperCase());
  await enter();
  await sees(page, "You can enrol one device now");
  await look("enroll-inside");
  await page.goto(`${base}/enroll/none`, { waitUntil: "load" });
  await look("enroll-lost");
  for (const complaint of page.complaints) wrong.push(`the browser says: ${complaint}`);
  await browser.close();
  if (wrong.length) throw new Error(`${wrong.length} thing(s) are wrong:\n${wrong.join("\n")}`);
});
