// The pair browser. Text from data is inserted with textContent only, never as markup.
(() => {
  const source = document.getElementById("pair-rows");
  if (!source) return;
  const { arms, rows, id_length: idLength } = JSON.parse(source.textContent);
  const byId = (id) => document.getElementById(id);
  const PAGE_SIZE = 25, KEPT = 0, DROPPED = 1;
  const STATES = ["", "dropped", "abstained", "failed"];
  const [ID, PROMPT, A, B, HUMAN, LABELS, PROVENANCE, REWARD] = [0, 1, 2, 3, 4, 5, 6, 7];
  const lowercase = new Map();
  let filtered = [], page = 0, selected = 0;

  const createElement = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children.filter((child) => child !== null && child !== ""));
    return element;
  };
  const textBlock = (className, text) => createElement("div", { class: className }, text);

  const labelOf = (row, arm) => {
    const encoded = row[LABELS][arm];
    const [p, state, note] = Array.isArray(encoded) ? encoded : [encoded, KEPT, ""];
    const choice = p === null || p === 0.5 ? null : p > 0.5 ? "a" : "b";
    const margin = choice === null || row[REWARD] === null ? null : choice === "a" ? row[REWARD] : -row[REWARD];
    return { p, state, note, choice, margin, match: choice && row[HUMAN] ? choice === row[HUMAN] : null };
  };
  const confidence = (label) => (label.p === null ? -1 : Math.max(label.p, 1 - label.p));

  const labelFilters = {
    any: () => true,
    match: (label) => label.match === true,
    mismatch: (label) => label.match === false,
    higher: (label) => label.match === false && label.margin > 0,
    kept: (label) => label.state === KEPT && label.choice !== null,
    dropped: (label) => label.state === DROPPED,
    none: (label) => label.state > DROPPED,
  };

  // Lowercase texts are cached, so that the next letter of a search is fast.
  const containsWords = (row, words) => {
    if (!lowercase.has(row)) lowercase.set(row, [row[ID], row[PROMPT], row[A], row[B]].join("\n").toLowerCase());
    return words.every((word) => lowercase.get(row).includes(word));
  };

  const filter = () => {
    const arm = Number(byId("pair-arm").value), passes = labelFilters[byId("pair-label").value];
    const low = byId("pair-confidence").value === "" ? null : Number(byId("pair-confidence").value);
    const words = byId("pair-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    filtered = rows.filter((row) => {
      const label = labelOf(row, arm), value = confidence(label);
      const inBin = low === null || (value >= low && (value < low + 0.1 || (low === 0.9 && value <= 1)));
      return inBin && passes(label) && (words.length === 0 || containsWords(row, words));
    });
    const order = byId("pair-order").value, sign = order === "sure" ? -1 : 1;
    if (order !== "drawn") filtered.sort((x, y) => sign * (confidence(labelOf(x, arm)) - confidence(labelOf(y, arm))));
    selected = 0;
    render();
  };

  const matchMark = (label) => (label.match === null ? "" : label.match ? "✓" : "✗");
  const matchClass = (label) => (label.match === null ? "" : label.match ? "match" : "mismatch");
  const chipText = (label) =>
    (label.p === null ? STATES[label.state] : `${label.choice || "–"} ${confidence(label).toFixed(3)} ${matchMark(label)}`.trim());
  const formatProbability = (label) => (label.p === null ? STATES[label.state] || "–" : label.p.toFixed(3));

  const listItem = (row, index, arm) => {
    const label = labelOf(row, arm);
    const lastTurn = row[PROMPT].split("\n\n").at(-1).replace(/^[A-Z][a-z]+: /, "");
    const item = createElement("li", { role: "option", id: `pair-${index}`, "aria-selected": String(index === selected) },
      textBlock("begins", lastTurn.slice(0, 140) || row[ID].slice(0, idLength)),
      createElement("span", { class: `chip ${matchClass(label)}` }, chipText(label)));
    item.addEventListener("click", () => select(index, true));
    return item;
  };

  const render = () => {
    const arm = Number(byId("pair-arm").value), numPages = Math.max(1, Math.ceil(filtered.length / PAGE_SIZE));
    page = Math.floor(selected / PAGE_SIZE);
    const start = page * PAGE_SIZE;
    byId("pair-list").replaceChildren(
      ...filtered.slice(start, start + PAGE_SIZE).map((row, offset) => listItem(row, start + offset, arm)));
    byId("pair-list").setAttribute("aria-activedescendant", filtered.length ? `pair-${selected}` : "");
    byId("pair-count").textContent =
      `${filtered.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} pairs`;
    byId("pair-page").textContent = `${page + 1} of ${numPages}`;
    byId("pair-back").disabled = page === 0;
    byId("pair-on").disabled = page >= numPages - 1;
    byId("pair-shown").replaceChildren(
      ...(filtered.length ? pairView(filtered[selected], arm) : [textBlock("nothing", "No matching pair.")]));
  };

  const select = (index, scroll = false) => {
    if (index < 0 || index >= filtered.length) return;
    selected = index;
    render();
    const item = byId(`pair-${selected}`), list = byId("pair-list");
    if (item.offsetTop < list.scrollTop || item.offsetTop + item.offsetHeight > list.scrollTop + list.clientHeight)
      list.scrollTop = item.offsetTop - list.clientHeight / 2;
    // On narrow screens the pair is below the list: scroll to it.
    const top = byId("pair-shown").getBoundingClientRect().top;
    if (scroll && top > innerHeight * 0.8) byId("pair-shown").scrollIntoView({ block: "start" });
  };

  const response = (row, name) =>
    createElement("div", { class: `response${row[HUMAN] === name ? " preferred" : ""}` },
      createElement("h4", {}, name, row[HUMAN] === name ? createElement("small", {}, " preferred by humans") : ""),
      textBlock("text", row[name === "a" ? A : B]));

  const probabilityBar = (p) => {
    if (p === null) return "";
    const bar = createElement("span", { class: "share", "aria-hidden": "true" }, createElement("span"));
    bar.firstChild.style.width = `${100 * p}%`;
    return bar;
  };

  const labelTable = (row, arm) =>
    createElement("table", { class: "labels" },
      createElement("thead", {}, createElement("tr", {},
        ...["Arm", "p(a better)", "", "Human label", ""].map((name) => createElement("th", { scope: "col" }, name)))),
      createElement("tbody", {}, ...arms.map((info, index) => {
        const label = labelOf(row, index);
        const state = label.state === DROPPED ? `dropped by ${info.filter}` : STATES[label.state];
        return createElement("tr", index === arm ? { class: "chosen" } : {},
          createElement("th", { scope: "row" }, info.name, createElement("small", {}, info.annotator)),
          createElement("td", {}, formatProbability(label)), createElement("td", {}, probabilityBar(label.p)),
          createElement("td", { class: matchClass(label) }, label.match === null ? "" : label.match ? "✓ match" : "✗ mismatch"),
          createElement("td", { class: "state" }, [state, label.note].filter(Boolean).join(": ")));
      })));

  const branch = ([name, metrics, kept, thought, children]) =>
    createElement("li", { class: kept ? "kept" : "pruned" },
      createElement("strong", {}, name), " ", createElement("small", {}, metrics),
      thought ? textBlock("text", thought) : "",
      children.length ? createElement("ul", {}, ...children.map(branch)) : "");

  const provenance = (row, arm) => {
    if (row[PROVENANCE] === null)
      return [createElement("p", { class: "key" }, "The provenance of this label is omitted to limit the page size: ",
        createElement("code", {}, `trimtab show DIR ${row[ID].slice(0, idLength)}`))];
    const details = row[PROVENANCE][arms[arm].source];
    if (!details) return [];
    if (details.tree)
      return [createElement("h4", {}, "Tree ", createElement("small", {}, details.summary)),
        createElement("ul", { class: "tree" }, ...details.tree.map(branch)), createElement("p", {}, details.decision)];
    return details.parts.flatMap(([title, text]) => [createElement("h4", {}, title), textBlock("text", text)]);
  };

  const pairView = (row, arm) => [
    createElement("p", { class: "key" }, "pair ", createElement("code", {}, row[ID]), row[HUMAN] ? "" : ", no human label"),
    createElement("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Labels of this pair" },
      labelTable(row, arm)),
    ...(row[PROMPT]
      ? [textBlock("text prompt", row[PROMPT]), createElement("div", { class: "both" }, response(row, "a"), response(row, "b"))]
      : []),
    ...provenance(row, arm),
  ];

  const steps = { ArrowLeft: -1, ArrowRight: 1 };
  const listSteps = { ArrowUp: -1, ArrowDown: 1, PageUp: -PAGE_SIZE, PageDown: PAGE_SIZE };
  document.addEventListener("keydown", (event) => {
    const panel = byId("browser").closest(".panel");
    if (panel.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, .tabs")) return;
    const inList = event.target === byId("pair-list"), wide = event.target.closest(".wide");
    if (event.key === "/") byId("pair-search").focus();
    // With shift, arrows extend a selection; in a table wider than its container, they scroll it.
    else if (event.shiftKey || (wide && wide.scrollWidth > wide.clientWidth)) return;
    else if (event.key in steps) select(selected + steps[event.key]);
    else if (inList && event.key in listSteps)
      select(Math.max(0, Math.min(filtered.length - 1, selected + listSteps[event.key])));
    else return;
    event.preventDefault();
  });
  let timer = 0;
  byId("pair-search").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(filter, 120);
  });
  for (const id of ["pair-arm", "pair-label", "pair-confidence", "pair-order"]) byId(id).addEventListener("change", filter);
  byId("pair-filters").addEventListener("submit", (event) => event.preventDefault());
  byId("pair-back").addEventListener("click", () => select((page - 1) * PAGE_SIZE));
  byId("pair-on").addEventListener("click", () => select((page + 1) * PAGE_SIZE));
  byId("browser").hidden = false;
  filter();
})();
