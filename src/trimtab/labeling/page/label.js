
// The labeling page. Texts are inserted with textContent only, never as markup.
(() => {
  const byId = (id) => document.getElementById(id);
  const KEYS = { ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right", 0: "no_difference", " ": "no_difference", s: "skip" };
  const RETRY_MS = 1000;
  // A key right after a new pair is meant for the previous one.
  const GUARD_MS = 300;
  const NO_SERVER = "the server does not respond. If it was stopped, start it again and open its new link in this browser.";
  const choiceButtons = [...document.querySelectorAll("[data-choice]")];
  let state = null, isBusy = true, shownAt = 0, visibleSince = 0, visibleMs = 0;

  const createElement = (tag, className, text) => {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
  };

  // Shows text as it is. Fenced code, with its fences, is a block of its own that does not wrap.
  const showText = (container, text) => {
    container.replaceChildren();
    let lines = [], fence = "";
    const flush = (tag) => {
      if (lines.length) container.append(createElement(tag, "", lines.join("")));
      lines = [];
    };
    for (const line of text.split(/(?<=\n)/)) {
      const mark = /^\s*(```+|~~~+)/.exec(line)?.[1] ?? "";
      if (!fence && mark) {
        flush("span");
        fence = mark;
        lines.push(line);
      } else if (fence && mark.startsWith(fence)) {
        lines.push(line);
        flush("pre");
        fence = "";
      } else lines.push(line);
    }
    flush(fence ? "pre" : "span");
  };

  const notify = (text) => {
    byId("notice").textContent = text;
    byId("notice").hidden = !text;
  };

  // An answer stays in the browser's storage until the server confirms it. Storage can be disabled in private windows.
  const storageKey = () => `trimtab-label-${state.log}`;
  const storePending = (request) => {
    try {
      if (request) localStorage.setItem(storageKey(), JSON.stringify(request));
      else localStorage.removeItem(storageKey());
    } catch (error) {
      console.info("no storage", error.name);
    }
  };
  const loadPending = () => {
    try {
      return JSON.parse(localStorage.getItem(storageKey()));
    } catch (error) {
      console.info("no storage", error.name);
      return null;
    }
  };

  const createId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  const setBusy = (busy) => {
    isBusy = busy;
    const isEnd = !state || !state.presentation;
    for (const button of choiceButtons) button.disabled = busy || isEnd;
    byId("note-button").disabled = isEnd;
    byId("undo").disabled = busy || !state || !state.last_answer;
    document.body.dataset.busy = String(busy);
  };

  const formatPoints = (share) => `±${(100 * share).toFixed(100 * share < 9.95 ? 1 : 0)} points`;
  const showProgress = () => {
    const { interval, num_answers: done, num_left: left } = state;
    const labels = `${interval.num_labels} ${interval.num_labels === 1 ? "label" : "labels"}`;
    const now = interval.now === null ? "" : `: an audit's interval would be ${formatPoints(interval.now)}`;
    const planned = interval.num_labels < interval.num_planned ? ` (${formatPoints(interval.planned)} at ${interval.num_planned})` : "";
    byId("progress").textContent = `${labels}${now}${planned} · ${left} to go`;
    byId("track-done").style.width = `${(100 * done) / Math.max(1, done + left)}%`;
  };

  const showTurn = ({ role, text }, index, turns) => {
    const turn = createElement("div", "turn", "");
    const content = createElement("div", "text", "");
    content.dir = "auto";
    showText(content, text);
    turn.append(createElement("div", "role", turns.length === 1 ? "Prompt" : role[0].toUpperCase() + role.slice(1)), content);
    return turn;
  };

  const showPair = (presentation) => {
    byId("prompt").replaceChildren(...presentation.prompt.map(showTurn));
    byId("prompt").scrollTop = byId("prompt").lastElementChild.offsetTop; // earlier turns are above
    showText(byId("left"), presentation.left);
    showText(byId("right"), presentation.right);
    for (const button of choiceButtons) button.classList.toggle("previous", button.dataset.choice === presentation.undone_choice);
    byId("note").value = presentation.note;
    byId("note-row").hidden = !presentation.note;
    window.scrollTo(0, 0);
    shownAt = performance.now();
    visibleSince = shownAt;
    visibleMs = 0;
  };

  const render = (next) => {
    const before = state && state.presentation ? state.presentation.id : "";
    state = next;
    const { presentation } = state;
    byId("guideline").hidden = !state.guideline;
    if (byId("guideline-text").textContent !== state.guideline) showText(byId("guideline-text"), state.guideline);
    byId("pair").hidden = !presentation;
    byId("end").hidden = Boolean(presentation);
    if (!presentation) byId("note-row").hidden = true;
    else if (presentation.id !== before) showPair(presentation);
    showProgress();
    document.body.dataset.presentation = presentation ? presentation.id : "end";
  };

  // Sends a request until the server confirms it. The page shows the next pair only then.
  const send = async (request) => {
    setBusy(true);
    storePending(request);
    for (;;) {
      const response = await fetch(request.path, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request.body),
      }).catch(() => null);
      if (response && (response.ok || response.status === 409)) {
        const next = await response.json().catch(() => null);
        if (next) {
          storePending(null);
          notify(response.ok ? "" : "Not saved: this pair was answered in another tab or window. Here is the current one.");
          render(next);
          return setBusy(false);
        }
      } else if (response && response.status === 400) {
        storePending(null);
        notify(await response.text());
        return setBusy(false);
      } else notify(`Not saved yet, trying again: ${response ? await response.text() : NO_SERVER}`);
      await wait(RETRY_MS);
    }
  };

  const answer = (choice) => {
    if (isBusy || !state.presentation || performance.now() - shownAt < GUARD_MS) return;
    const visible = visibleMs + (document.hidden ? 0 : performance.now() - visibleSince);
    const body = {
      id: createId(), presentation: state.presentation.id, choice, note: byId("note").value.trim(), milliseconds: Math.round(visible),
    };
    document.activeElement.blur();
    send({ path: "/answer", body });
  };

  const undo = () => {
    if (isBusy || !state.last_answer) return;
    document.activeElement.blur();
    send({ path: "/undo", body: { id: createId(), answer: state.last_answer } });
  };

  const openNote = () => {
    if (!state || !state.presentation) return;
    byId("note-row").hidden = false;
    byId("note").focus();
  };

  const load = async () => {
    const response = await fetch("/state").catch(() => null);
    if (response && response.ok) {
      notify("");
      render(await response.json());
      return true;
    }
    notify(response ? await response.text() : `Not connected: ${NO_SERVER}`);
    return false;
  };

  document.addEventListener("keydown", (event) => {
    if (event.target === byId("note")) {
      if (event.key === "Escape") byId("note").blur();
      return;
    }
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!(key in KEYS) && key !== "u" && key !== "n") return;
    event.preventDefault();
    if (event.repeat) return;
    if (key === "u") undo();
    else if (key === "n") openNote();
    else answer(KEYS[key]);
  });
  for (const button of choiceButtons) button.addEventListener("click", () => answer(button.dataset.choice));
  byId("undo").addEventListener("click", undo);
  byId("note-button").addEventListener("click", openNote);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) visibleMs += performance.now() - visibleSince;
    else {
      visibleSince = performance.now();
      if (!isBusy) load();
    }
  });

  (async () => {
    history.replaceState(null, "", "/"); // the link's token was used
    while (!(await load())) await wait(RETRY_MS);
    const pending = loadPending();
    if (pending) await send(pending);
    else setBusy(false);
  })();
})();
