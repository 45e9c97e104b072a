// The browser of pairs. Text of the data is put into the page with textContent alone.
(() => {
  const source = document.getElementById("pair-rows");
  if (!source) return;
  const { arms, rows, short } = JSON.parse(source.textContent);
  const at = (id) => document.getElementById(id);
  const PAGE = 25, KEPT = 0, DROPPED = 1;
  const STATES = ["", "dropped", "abstained", "failed"];
  const [ID, PROMPT, A, B, HUMAN, LABELS, DETAILS] = [0, 1, 2, 3, 4, 5, 6];
  const lower = new Map();
  let found = [], page = 0, chosen = 0;

  const make = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children.filter((each) => each !== null && each !== ""));
    return made;
  };
  const text = (className, words) => make("div", { class: className }, words);

  const label = (row, arm) => {
    const told = row[LABELS][arm];
    const [p, state, note] = Array.isArray(told) ? told : [told, KEPT, ""];
    const choice = p === null || p === 0.5 ? null : p > 0.5 ? "a" : "b";
    return { p, state, note, choice, match: choice && row[HUMAN] ? choice === row[HUMAN] : null };
  };
  const sure = (each) => (each.p === null ? -1 : Math.max(each.p, 1 - each.p));

  const wanted = {
    any: () => true,
    match: (each) => each.match === true,
    mismatch: (each) => each.match === false,
    kept: (each) => each.state === KEPT && each.choice !== null,
    dropped: (each) => each.state === DROPPED,
    none: (each) => each.state > DROPPED,
  };

  // Lower-cased texts are kept once they were needed, so that the next letter of a search is quick.
  const holds = (row, words) => {
    if (!lower.has(row)) lower.set(row, [row[ID], row[PROMPT], row[A], row[B]].join("\n").toLowerCase());
    return words.every((word) => lower.get(row).includes(word));
  };

  const filter = () => {
    const arm = Number(at("pair-arm").value), kind = wanted[at("pair-label").value];
    const low = at("pair-confidence").value === "" ? null : Number(at("pair-confidence").value);
    const words = at("pair-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    found = rows.filter((row) => {
      const each = label(row, arm), confidence = sure(each);
      const within = low === null || (confidence >= low && (confidence < low + 0.1 || (low === 0.9 && confidence <= 1)));
      return within && kind(each) && (words.length === 0 || holds(row, words));
    });
    const order = at("pair-order").value, sign = order === "sure" ? -1 : 1;
    if (order !== "drawn") found.sort((x, y) => sign * (sure(label(x, arm)) - sure(label(y, arm))));
    chosen = 0;
    draw();
  };

  const mark = (each) => (each.match === null ? "" : each.match ? "✓" : "✗");
  const side = (each) => (each.match === null ? "" : each.match ? "match" : "mismatch");
  const chip = (each) =>
    (each.p === null ? STATES[each.state] : `${each.choice || "–"} ${sure(each).toFixed(3)} ${mark(each)}`.trim());
  const spoken = (each) => (each.p === null ? STATES[each.state] || "–" : each.p.toFixed(3));

  const item = (row, place, arm) => {
    const each = label(row, arm);
    const last = row[PROMPT].split("\n\n").at(-1).replace(/^[A-Z][a-z]+: /, "");
    const option = make("li", { role: "option", id: `pair-${place}`, "aria-selected": String(place === chosen) },
      text("begins", last.slice(0, 140) || row[ID].slice(0, short)),
      make("span", { class: `chip ${side(each)}` }, chip(each)));
    option.addEventListener("click", () => choose(place, true));
    return option;
  };

  const draw = () => {
    const arm = Number(at("pair-arm").value), pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.floor(chosen / PAGE);
    const begin = page * PAGE;
    at("pair-list").replaceChildren(...found.slice(begin, begin + PAGE).map((row, n) => item(row, begin + n, arm)));
    at("pair-list").setAttribute("aria-activedescendant", found.length ? `pair-${chosen}` : "");
    at("pair-count").textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} pairs`;
    at("pair-page").textContent = `${page + 1} of ${pages}`;
    at("pair-back").disabled = page === 0;
    at("pair-on").disabled = page >= pages - 1;
    at("pair-shown").replaceChildren(...(found.length ? shown(found[chosen], arm) : [text("nothing", "No pair is like that.")]));
  };

  const choose = (place, near = false) => {
    if (place < 0 || place >= found.length) return;
    chosen = place;
    draw();
    const item = at(`pair-${chosen}`), list = at("pair-list");
    if (item.offsetTop < list.scrollTop || item.offsetTop + item.offsetHeight > list.scrollTop + list.clientHeight)
      list.scrollTop = item.offsetTop - list.clientHeight / 2;
    // Where the pair stands below the list, it is brought into view.
    const begins = at("pair-shown").getBoundingClientRect().top;
    if (near && begins > innerHeight * 0.8) at("pair-shown").scrollIntoView({ block: "start" });
  };

  const response = (row, name) =>
    make("div", { class: `response${row[HUMAN] === name ? " preferred" : ""}` },
      make("h4", {}, name, row[HUMAN] === name ? make("small", {}, " preferred by people") : ""),
      text("text", row[name === "a" ? A : B]));

  const bar = (p) => {
    if (p === null) return "";
    const made = make("span", { class: "share", "aria-hidden": "true" }, make("span"));
    made.firstChild.style.width = `${100 * p}%`;
    return made;
  };

  const labels = (row, arm) =>
    make("table", { class: "labels" },
      make("thead", {}, make("tr", {}, ...["Arm", "p(a better)", "", "People", ""].map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...arms.map((about, place) => {
        const each = label(row, place);
        const state = each.state === DROPPED ? `dropped by ${about.filter}` : STATES[each.state];
        return make("tr", place === arm ? { class: "chosen" } : {},
          make("th", { scope: "row" }, about.name, make("small", {}, about.annotator)),
          make("td", {}, spoken(each)), make("td", {}, bar(each.p)),
          make("td", { class: side(each) }, each.match === null ? "" : each.match ? "✓ match" : "✗ mismatch"),
          make("td", { class: "state" }, [state, each.note].filter(Boolean).join(": ")));
      })));

  const branch = ([name, line, kept, thought, below]) =>
    make("li", { class: kept ? "kept" : "pruned" }, make("strong", {}, name), " ", make("small", {}, line),
      thought ? text("text", thought) : "", below.length ? make("ul", {}, ...below.map(branch)) : "");

  const details = (row, arm) => {
    if (row[DETAILS] === null)
      return [make("p", { class: "key" }, "How this label came about is left out here for its size: ",
        make("code", {}, `trimtab show DIR ${row[ID].slice(0, short)}`))];
    const told = row[DETAILS][arms[arm].source];
    if (!told) return [];
    if (told.tree)
      return [make("h4", {}, "Tree ", make("small", {}, told.line)),
        make("ul", { class: "tree" }, ...told.tree.map(branch)), make("p", {}, told.said)];
    return told.parts.flatMap(([title, words]) => [make("h4", {}, title), text("text", words)]);
  };

  const shown = (row, arm) => [
    make("p", { class: "key" }, "pair ", make("code", {}, row[ID]), row[HUMAN] ? "" : ", nobody said which is better"),
    make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Labels of this pair" }, labels(row, arm)),
    ...(row[PROMPT] ? [text("text prompt", row[PROMPT]), make("div", { class: "both" }, response(row, "a"), response(row, "b"))] : []),
    ...details(row, arm),
  ];

  const steps = { ArrowLeft: -1, ArrowRight: 1 }, listSteps = { ArrowUp: -1, ArrowDown: 1, PageUp: -PAGE, PageDown: PAGE };
  document.addEventListener("keydown", (event) => {
    const panel = at("browser").closest(".panel");
    if (panel.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, .tabs")) return;
    const inList = event.target === at("pair-list"), wide = event.target.closest(".wide");
    if (event.key === "/") at("pair-search").focus();
    // With shift, arrows extend what is selected; in a table that is wider than its place they move it.
    else if (event.shiftKey || (wide && wide.scrollWidth > wide.clientWidth)) return;
    else if (event.key in steps) choose(chosen + steps[event.key]);
    else if (inList && event.key in listSteps)
      choose(Math.max(0, Math.min(found.length - 1, chosen + listSteps[event.key])));
    else return;
    event.preventDefault();
  });
  let waiting = 0;
  at("pair-search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  });
  for (const id of ["pair-arm", "pair-label", "pair-confidence", "pair-order"]) at(id).addEventListener("change", filter);
  at("pair-filters").addEventListener("submit", (event) => event.preventDefault());
  at("pair-back").addEventListener("click", () => choose((page - 1) * PAGE));
  at("pair-on").addEventListener("click", () => choose((page + 1) * PAGE));
  at("browser").hidden = false;
  filter();
})();
