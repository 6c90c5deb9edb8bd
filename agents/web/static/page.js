// What makes the pages move: forms that act, keys, the live view. Whatever comes from elsewhere is set as text.
const word = document.querySelector('meta[name="circle-word"]').content;
const notice = document.getElementById("notice");
const at = (id) => document.getElementById(id);

function say(sentence) {
  notice.textContent = sentence;
}

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
  try {
    after(await act(place.dataset.act, form));
  } catch (error) {
    say(error instanceof TypeError ? "The page's server does not answer: is circle serve still running?" : error.message);
  } finally {
    buttons.forEach((one) => (one.disabled = false));
  }
}

for (const form of document.querySelectorAll("form[data-act]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    carryOut(form, event.submitter, filledIn(form, event.submitter), (done) => {
      location.assign(form.dataset.then ?? `/sessions/${done.session}`);
    });
  });
}

for (const button of document.querySelectorAll("button[data-act]")) {
  button.addEventListener("click", () =>
    carryOut(button, button, {}, (done) => {
      say("");
      if (button.dataset.says === "replay") at("replayed").textContent = replayed(done);
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
if (fresh.length) setInterval(refresh, 1000 * FRESH_SECONDS);

async function refresh() {
  if (document.hidden || [...fresh].some((part) => part.contains(document.activeElement))) return;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) return say(answer ? await answer.text() : "The page's server does not answer: what is shown here may be old.");
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of fresh) part.replaceChildren(...page.querySelector(`[data-fresh="${part.dataset.fresh}"]`).childNodes);
  if (notice.textContent.startsWith("The page's server")) say("");
}

const scrubber = at("scrubber");
scrubber?.addEventListener("input", () => (at("place").textContent = scrubber.value));
scrubber?.addEventListener("change", () => location.assign(scrubber.dataset.base + scrubber.value));

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
  const typing = event.target.matches("input, textarea, select");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});

const live = at("live");
if (live) {
  const { follow } = await import("./live.js");
  follow(live, say);
}
