// A person who has never seen the console: log in, find the iPad, lock it. By visible labels only.
import { log_in, open, press, run, sees, tab, type, waits_for } from "./browser.mjs";

run(async () => {
  const browser = await open();
  const page = await tab(browser);
  await log_in(page, process.env.CORDON_NAME, "not the password");
  await sees(page, "Name or password is not right");
  await log_in(page);
  await sees(page, "Is everything all right?");
  await press(page, "Devices");
  await type(page, "Name, serial number, model or user", process.env.CORDON_IPAD);
  await press(page, "Show");
  await press(page, process.env.CORDON_IPAD_NAME, false);
  await press(page, "Lock");
  await sees(page, "What this does");
  await type(page, "Message on the screen", "Please bring it to room 12");
  await type(page, "Name of the device", process.env.CORDON_IPAD_NAME);
  await press(page, "Lock it");
  await sees(page, "Lock");
  await waits_for(page, "Done");
  if (page.complaints.length) throw new Error(page.complaints.join("\n"));
  await browser.close();
});
