// What makes the pages move: forms that act, keys, the live view. Whatever comes from elsewhere is set as text.
const meta = 'meta[name="circle-word"]';
let word = document.querySelector(meta).content;
const notice = document.getElementById("notice");
const at = (id) => document.getElementById(id);
const SILENT =
  "The page's server does not answer. Sessions go on without it; what is shown here may be old. Run circle serve again " +
  "and open the address that it prints: then this page goes on, too.";

function say(sentence) {
  notice.hidden = !sentence;
  notice.querySelector("p").textContent = sentence;
}

notice.querySelector("button").addEventListener("click", () => say(""));

async function act(path, form) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Circle-Word": word },
    body: JSON.stringify(form),
  });
  const type = answer.headers.get("Content-Type") ?? "";
  const said = type.startsWith("application/json") ? await answer.json() : { error: await answer.text() };
  if (!answer.ok) throw new Error(said.error);
  return said;
}

function filledIn(form, submitter) {
  const values = {};
  for (const field of form.elements) {
    if (!field.name || field.tagName === "BUTTON") continue;
    if (field.type === "checkbox") values[field.name] = field.checked;
    else if (field.value !== "") values[field.name] = field.type === "number" || "number" in field.dataset ? Number(field.value) : field.value;
  }
  if (submitter?.name) values[submitter.name] = submitter.value;
  return values;
}

async function carryOut(place, button, form, after) {
  const buttons = [...(place.querySelectorAll?.("button") ?? []), button].filter(Boolean);
  buttons.forEach((one) => (one.disabled = true));
  say("Working on it …");
  let leaving = false;
  try {
    leaving = after(await act(place.dataset.act, form));
  } catch (error) {
    say(error instanceof TypeError ? SILENT : error.message);
  }
  if (!leaving) buttons.forEach((one) => (one.disabled = false));
}

// A page that a browser has kept, and shows again as it was left.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const button of document.querySelectorAll("[data-act] button, button[data-act]")) button.disabled = false;
  say("");
  if (scrubber) at("place").textContent = scrubber.value = scrubber.defaultValue;
});

for (const form of document.querySelectorAll("form[data-act]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    carryOut(form, event.submitter, filledIn(form, event.submitter), (done) => {
      location.assign(form.dataset.then ?? `/sessions/${done.session}`);
      return true;
    });
  });
}

for (const button of document.querySelectorAll("button[data-act]")) {
  button.addEventListener("click", () =>
    carryOut(button, button, {}, (done) => {
      say(button.dataset.said ?? "");
      if (button.dataset.says === "replay") at("replayed").textContent = replayed(done);
      return false;
    }),
  );
}

function replayed(done) {
  const where = done.first_divergence;
  const same = `Identical: ${done.steps} steps in ${done.wall_seconds} s, nothing asked, trained or committed.`;
  return done.identical ? same : `Diverged at step ${where.step}, ${where.node}: ${where.what}`;
}

at("print")?.addEventListener("click", () => print());
for (const list of document.querySelectorAll("form[data-filter] select")) list.addEventListener("change", () => list.form.submit());

const FRESH_SECONDS = 10;
const fresh = document.querySelectorAll("[data-fresh]");
const now = document.querySelector("[data-now]");
let silent = false;
if (fresh.length || now) setInterval(refresh, 1000 * FRESH_SECONDS);
setInterval(() => document.querySelectorAll("time[datetime]").forEach(tell), 1000 * FRESH_SECONDS);

async function refresh() {
  if (document.hidden || !getSelection().isCollapsed) return;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) {
    if (!silent) say(!answer || answer.status === 401 ? SILENT : "This cannot be shown any more: reload the page to see why.");
    silent = true;
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  word = page.querySelector(meta).content; // of a server that was started again, it is another
  if (silent) say("");
  silent = false;
  for (const part of fresh) renew(part, page.querySelector(`[data-fresh="${part.dataset.fresh}"]`));
  if (now && now.dataset.now !== page.querySelector("[data-now]")?.dataset.now) outdated();
}

function renew(part, newer) {
  if (!newer || part.innerHTML === newer.innerHTML) return;
  part.hidden = newer.hidden;
  const link = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  part.replaceChildren(...newer.childNodes);
  if (link) part.querySelector(`a[href="${CSS.escape(link)}"]`)?.focus();
}

let told = false;
function outdated() {
  document.querySelectorAll("#decision button").forEach((button) => (button.disabled = true));
  if (!told) say("What is shown here has changed meanwhile: reload the page to see it.");
  told = true;
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const past = new Intl.RelativeTimeFormat("en", { numeric: "always" });

function tell(time) {
  const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
  const [name, size] = UNITS.find((unit) => seconds >= unit[1]) ?? [];
  if (name) time.textContent = past.format(-Math.floor(seconds / size), name);
}

const scrubber = at("scrubber");
scrubber?.addEventListener("input", () => (at("place").textContent = scrubber.value));
const PAUSE_MILLISECONDS = 300;
let pause;
scrubber?.addEventListener("change", () => {
  clearTimeout(pause); // keys that are held, or pressed one after the other, are one way to go
  pause = setTimeout(() => location.assign(`${scrubber.dataset.base}${scrubber.value}#scrubber`), PAUSE_MILLISECONDS);
});
if (location.hash === "#scrubber") scrubber?.focus();

let hunk = -1;
function move(by) {
  const hunks = document.querySelectorAll("[data-hunk]");
  if (!hunks.length) return;
  hunk = Math.max(0, Math.min(hunks.length - 1, hunk + by));
  hunks[hunk].focus();
  hunks[hunk].scrollIntoView({ block: "center" });
}

function turn(way) {
  const link = document.querySelector(`.scrubber a[rel="${way}"]`);
  link?.click();
  return link !== null;
}

const keys = {
  j: () => turn("next") || move(1),
  k: () => turn("prev") || move(-1),
  a: () => at("approve")?.focus(),
  r: () => at("decision")?.elements.comment.focus(),
};
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=range], [type=checkbox]), textarea, select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});

const live = at("live");
if (live) {
  const { follow } = await import("./live.js");
  follow(live, say, SILENT);
}
