// One headless Chromium, and hands that know nothing but visible labels.
import puppeteer from "puppeteer-core";
import { existsSync } from "node:fs";

const places = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"];

export const base = process.env.CORDON_URL;
export const artefacts = process.env.CORDON_ARTEFACTS;

export async function open() {
  const executablePath = places.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("no Chromium here: scripts/test installs it");
  return puppeteer.launch({
    executablePath,
    headless: true,
    acceptInsecureCerts: true,
    protocolTimeout: 180_000,
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--disable-extensions"],
  });
}

/** A page that remembers what the browser complained of. */
export async function tab(browser) {
  const page = await browser.newPage();
  page.setDefaultTimeout(90_000);
  page.complaints = [];
  page.on("console", (message) => {
    // An answer of 4xx is the server's word, not the page's fault.
    if (message.type() === "error" && !message.text().includes("the server responded with a status of 4")) page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  return page;
}

/** What carries these words: a link, a button, or the field of a label. Only what can be seen counts. */
async function visible(page, selector, words, exact = true) {
  const found = await page.evaluateHandle((selector, words, exact) => {
    const said = (element) => (element.innerText || "").replace(/\s+/g, " ").trim();
    const fits = (text) => (exact ? text === words : text.startsWith(words));
    return [...document.querySelectorAll(selector)].find((element) => element.checkVisibility() && fits(said(element)));
  }, selector, words, exact);
  const element = found.asElement();
  if (!element) {
    const text = await page.evaluate(() => document.body.innerText);
    throw new Error(`“${words}” is nowhere to be seen on ${page.url()}:\n${text.slice(0, 1500)}`);
  }
  return element;
}

export async function type(page, label, text) {
  const element = await visible(page, "label", label);
  const id = await element.evaluate((label) => label.htmlFor);
  const field = await page.$(`#${CSS_escape(id)}`);
  await field.click({ count: 3 });
  await field.type(text);
}

export async function choose(page, label, words) {
  const element = await visible(page, "label", label);
  const id = await element.evaluate((label) => label.htmlFor);
  const value = await page.$eval(`#${CSS_escape(id)}`, (select, words) => [...select.options].find((o) => o.text === words).value, words);
  await page.select(`#${CSS_escape(id)}`, value);
}

export async function tick(page, label) {
  const element = await visible(page, "label", label, false);
  await element.click();
}

export async function press(page, words, exact = true) {
  const element = await visible(page, "button, a", words, exact);
  await Promise.all([page.waitForNavigation({ waitUntil: "load" }), element.click()]);
}

export async function open_fold(page, words) {
  await (await visible(page, "summary", words)).click();
}

export async function sees(page, words) {
  const text = await page.evaluate(() => document.body.innerText.replace(/\s+/g, " "));
  if (!text.includes(words)) throw new Error(`“${words}” is not on ${page.url()}:\n${text.slice(0, 2000)}`);
}

/** Looks again and again, as somebody who presses Reload. */
export async function waits_for(page, words, seconds = 60) {
  const until = Date.now() + seconds * 1000;
  for (;;) {
    const text = await page.evaluate(() => document.body.innerText.replace(/\s+/g, " "));
    if (text.includes(words)) return;
    if (Date.now() > until) throw new Error(`waited in vain for “${words}” on ${page.url()}:\n${text.slice(0, 2000)}`);
    await new Promise((done) => setTimeout(done, 500));
    await page.reload({ waitUntil: "load" });
  }
}

export async function log_in(page, name = process.env.CORDON_NAME, password = process.env.CORDON_PASSWORD) {
  await page.goto(`${base}/`, { waitUntil: "load" });
  await type(page, "Name", name);
  await type(page, "Password", password);
  await press(page, "Log in");
}

function CSS_escape(id) {
  return id.replace(/[^a-zA-Z0-9_-]/g, (c) => `\\${c}`);
}

export function run(story) {
  story().then(
    () => process.exit(0),
    (error) => {
      console.error(error.stack || String(error));
      process.exit(1);
    },
  );
}
