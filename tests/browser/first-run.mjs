// Somebody who has never seen Cordon, with nothing but the link that the server printed: sets the school up, logs in, invites an iPad, and
// locks it. By visible labels and what the pages say only. What the world outside does (Apple signs, the iPad enrols) is asked of whoever
// started this: a line of JSON out, a line of JSON back.
import { mkdirSync, readFileSync } from "node:fs";
import { get } from "node:https";
import { createInterface } from "node:readline";
import { artefacts, open, press, run, sees, tab, type, waits_for } from "./browser.mjs";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const ask = async (question) => {
  console.log(JSON.stringify(question));
  return JSON.parse((await lines.next()).value);
};
const axe = readFileSync(new URL("./node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const SIZES = { light: [1280, 900, "light"], dark: [1280, 900, "dark"], small: [320, 640, "light"], wide: [2200, 1200, "light"] };
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const NAME = "ada";
const PASSWORD = "tin roof in may";

run(async () => {
  mkdirSync(artefacts, { recursive: true });
  const browser = await open();
  const page = await tab(browser);
  const wrong = [];
  const looked = new Set();

  /** Every page on the way is checked and photographed as any other. */
  const look = async (name) => {
    if (looked.has(name)) return;
    looked.add(name);
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
    await page.setViewport({ width: 1280, height: 900 });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
  };
  const labels = () => page.$$eval("main label", (all) => all.filter((one) => one.checkVisibility()).map((one) => one.innerText.replace(/\s+/g, " ").trim()));
  const label = async (pattern) => (await labels()).find((words) => pattern.test(words));
  const fill = async (pattern, text) => {
    const found = await label(pattern);
    if (!found) throw new Error(`no label fits ${pattern}: ${(await labels()).join(" | ")}`);
    await type(page, found, text);
  };
  const step = () => page.$eval("[aria-current=step]", (one) => one.innerText.trim());
  const text = () => page.evaluate(() => document.body.innerText);
  /** The one button of the form on the page. */
  const go_on = async () => {
    const words = await page.$$eval("main form button", (all) => all.filter((one) => one.checkVisibility()).map((one) => one.innerText.trim()));
    await press(page, words.at(-1));
  };
  /** A link's file, as the browser would save it. */
  const download = async (words) => {
    const href = await page.$$eval("main a", (all, words) => all.find((one) => one.innerText.includes(words))?.href, words);
    if (!href) throw new Error(`nothing to download is called “${words}”: ${await text()}`);
    const cookies = (await browser.cookies()).map((one) => `${one.name}=${one.value}`).join("; ");
    const answer = await new Promise((done, failed) => get(href, { headers: { cookie: cookies }, rejectUnauthorized: false }, done).on("error", failed));
    if (answer.statusCode !== 200) throw new Error(`${href}: ${answer.statusCode}`);
    let whole = "";
    for await (const piece of answer) whole += piece;
    return whole;
  };

  // ---- the set-up, step by step, in whatever order the page asks
  const start = new URL(process.env.CORDON_LINK).origin;
  await page.goto(start, { waitUntil: "load" });
  await sees(page, "not set up yet");
  await look("first-run-closed");
  // That page says with its status that the server is not ready; the browser repeats it.
  page.complaints.length = 0;
  await page.goto(process.env.CORDON_LINK, { waitUntil: "load" });
  for (let round = 0; round < 20 && page.url().includes("/setup"); round += 1) {
    const heading = await page.$eval("h1", (one) => one.innerText);
    if (/is set up/.test(heading)) break;
    const here = await step();
    console.log(`step: ${here}`);
    await look(`first-run-${here.toLowerCase().replace(/[^a-z]+/g, "-")}`);
    if (/alert/.test(await page.$$eval("[role=alert]", (all) => all.map(() => "alert").join()))) throw new Error(`refused: ${await text()}`);
    if (await label(/^Name of the/)) {
      await fill(/^Name of the/, "Hill School");
      if (await label(/^Host name/)) await fill(/^Host name/, "localhost");
    } else if (await label(/^Password/)) {
      await fill(/name for logging in/i, NAME);
      await fill(/^Password$/, PASSWORD);
      await fill(/once more/, PASSWORD);
    } else if (await label(/last two groups/)) {
      const code = (await text()).match(/\b[a-z0-9]{4}(-[a-z0-9]{4}){5,}\b/i)[0];
      await fill(/last two groups/, code.split("-").slice(-2).join("-"));
    } else if (await label(/certificate, from/)) {
      const signed = await ask({ ask: "sign", request: await download("Download the request") });
      await fill(/certificate, from/, signed.certificate);
    } else if (/good\./.test(await text()) && /enrolment: good/i.test(await text())) {
      await look("first-run-trial-done");
      await press(page, "Go on");
      continue;
    }
    await go_on();
  }
  await sees(page, "is set up");
  await look("first-run-finished");

  // ---- log in
  await press(page, "Log in");
  await look("first-run-log-in");
  await type(page, "Name", NAME);
  await type(page, "Password", PASSWORD);
  await press(page, "Log in");
  await sees(page, "Is everything all right?");
  await look("first-run-overview");

  // ---- invite the first iPad
  await sees(page, "No device is enrolled yet");
  await press(page, "Invite the first device");
  await look("first-run-invite");
  await type(page, "Who is invited", "Ann");
  await press(page, "Invite");
  await sees(page, "Shown this once");
  await sees(page, "Ann");
  await look("first-run-invited");
  const code = (await text()).match(/\b[a-z0-9]{4}-[a-z0-9]{4}-[a-z0-9]{4}\b/)[0];
  await press(page, "Enrolment");
  const address = (await text()).match(/https:\/\/\S+\/enroll\b/)[0];
  const other = await tab(browser);
  await other.goto(`${start}/anchors.json`);
  const anchors = JSON.parse(await other.evaluate(() => document.body.innerText));
  await other.close();
  const { serial } = await ask({ ask: "enrol", page: address, code, anchors });

  // ---- find it and lock it
  await press(page, "Devices");
  await waits_for(page, serial);
  await look("first-run-devices");
  await type(page, "Name, serial number, model or user", serial);
  await press(page, "Show");
  const name = await page.$eval("main tbody th a", (one) => one.innerText.trim());
  await press(page, name);
  await sees(page, serial);
  await look("first-run-device");
  await press(page, "Lock");
  await sees(page, "What this does");
  await sees(page, "Will it run?");
  await look("first-run-lock");
  await type(page, "Message on the screen", "Please bring it to room 12");
  await type(page, "Name of the device", "not this one");
  await press(page, "Lock it");
  await sees(page, "is not the name of this device");
  await type(page, "Name of the device", name);
  await press(page, "Lock it");
  await waits_for(page, "Done");
  await look("first-run-locked");
  const { locks } = await ask({ ask: "locks" });
  if (locks !== 1) wrong.push(`the iPad was locked ${locks} times`);
  await press(page, "Devices");
  await press(page, name);
  await sees(page, "Done by the device");
  for (const complaint of page.complaints) wrong.push(`the browser says: ${complaint}`);
  await browser.close();
  if (wrong.length) throw new Error(`${wrong.length} thing(s) are wrong:\n${wrong.join("\n")}`);
});
