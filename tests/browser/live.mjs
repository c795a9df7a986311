// An open page keeps what waits fresh by itself: what is cancelled in one tab shows in the other, which nobody reloads.
import { base, log_in, open, press, run, sees, tab } from "./browser.mjs";

run(async () => {
  const browser = await open();
  const watching = await tab(browser);
  await log_in(watching);
  await watching.goto(base + process.env.CORDON_COMMAND, { waitUntil: "load" });
  await sees(watching, "it has not been sent yet");
  const acting = await tab(browser);
  await acting.goto(base + process.env.CORDON_COMMAND, { waitUntil: "load" });
  await press(acting, "Cancel it");
  await sees(acting, "It was cancelled");
  await watching.bringToFront();
  await watching.waitForFunction(() => document.body.innerText.includes("It was cancelled"), { timeout: 60_000, polling: 250 });
  const asks = await watching.$$eval("[hx-get]", (found) => found.length);
  if (asks) throw new Error("a page that has nothing to wait for asks on");
  for (const page of [watching, acting]) if (page.complaints.length) throw new Error(page.complaints.join("\n"));
  await browser.close();
});
