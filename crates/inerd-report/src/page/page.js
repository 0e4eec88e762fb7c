"use strict";
// Everything is built from text nodes and attributes: data never become markup.

// ---- Tables: a click on a heading sorts, a second click turns the order round.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const numeric = rows.some((row) => row.cells[column]?.dataset.value !== undefined);
      const before = heading.getAttribute("aria-sort");
      const up = before === "none" ? !numeric : before === "descending";
      headings.forEach((h) => h.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => {
        const cell = row.cells[column];
        return numeric ? (cell?.dataset.value === undefined ? NaN : Number(cell.dataset.value)) : cell?.textContent ?? "";
      };
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (numeric) {
          // Entries without a number stay at the end, whichever way the others are sorted.
          if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
          return up ? x - y : y - x;
        }
        return up ? x.localeCompare(y) : y.localeCompare(x);
      };
      body.append(...rows.slice().sort(compare));
    });
  });
}

// ---- Figures: a click on a point says what it is and how to follow it.
for (const figure of document.querySelectorAll(".figures > figure")) {
  figure.addEventListener("click", (event) => {
    const point = event.target.closest?.(".point");
    if (!point) return;
    const picked = figure.querySelector(".picked");
    const code = document.createElement("code");
    code.textContent = `inerd explain ${figure.id.replace(/^figure-/, "")}.svg#${point.id}`;
    picked.replaceChildren(`${point.querySelector("title").textContent} — `, code);
  });
}

// ---- Sentences.
const source = document.getElementById("data");
if (source) browse(JSON.parse(source.textContent));

function browse(data) {
  const PAGE = 50;
  // Okabe-Ito, mid tones that carry on light and dark ground.
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a"];
  const OUTCOMES = ["correct", "wrong type", "wrong boundary", "wrong type and boundary", "spurious", "not in the text"];
  const MISSED = OUTCOMES.length;
  const $ = (id) => document.getElementById(id);
  const element = (name, className, ...children) => {
    const e = document.createElement(name);
    if (className) e.className = className;
    e.append(...children);
    return e;
  };
  const options = (select, entries) =>
    select.replaceChildren(...entries.map(([value, text]) => {
      const option = element("option", "", text);
      option.value = value;
      return option;
    }));

  options($("dataset"), data.datasets.map((d, i) => [i, d.name]));
  options($("error"), [["", "any"], ...[...OUTCOMES.slice(1), "missed"].map((name, i) => [i + 1, name])]);
  options($("type"), [["", "any"], ...data.types.map((name, i) => [i, name])]);

  let dataset;
  let found = [];
  let page = 0;
  let current = -1;

  function chooseDataset() {
    dataset = data.datasets[Number($("dataset").value)];
    const arms = dataset.arms.map((arm, i) => [i, `${arm.name} (seed ${arm.seed})`]);
    options($("arm-a"), arms.length ? arms : [["", "none"]]);
    options($("arm-b"), [["", "no other arm"], ...arms]);
    if (arms.length > 1) $("arm-b").value = "1";
    // What is searched, once per dataset: typing stays quick.
    for (const s of dataset.sentences) s.search ??= `${s.id}\n${s.text ?? ""}`.toLowerCase();
  }

  const arm = (id) => ($(id).value === "" ? null : Number($(id).value));

  function errorIn(answer, kind) {
    if (!answer) return false;
    if (kind === MISSED) return answer.m.length > 0;
    return answer.p.some((p) => p[3] === kind) || answer.u.some((u) => u[2] === kind);
  }

  function filter() {
    const [a, b] = [arm("arm-a"), arm("arm-b")];
    const show = $("show").value;
    const error = $("error").value === "" ? null : Number($("error").value);
    const type = $("type").value === "" ? null : Number($("type").value);
    const words = $("search").value.toLowerCase();
    found = dataset.sentences.filter((s) => {
      const [x, y] = [a === null ? null : s.arms[a], b === null ? null : s.arms[b]];
      if (show === "errors" && !(x && !x.x)) return false;
      if (show === "correct" && !(x && x.x)) return false;
      if (show === "gained" && !(x && y && x.x && !y.x)) return false;
      if (show === "lost" && !(x && y && !x.x && y.x)) return false;
      if (error !== null && !errorIn(x, error)) return false;
      if (type !== null && !s.gold.some((g) => g[0] === type) && !(x && (x.p.some((p) => p[0] === type) || x.u.some((u) => u[0] === type)))) return false;
      return words === "" || s.search.includes(words);
    });
    page = 0;
    render();
  }

  // Entities as [type, start, end, note, wrong]; each on the first level where it has room, longer ones above.
  function levels(entities) {
    const sorted = entities.slice().sort((a, b) => a[1] - b[1] || b[2] - a[2]);
    const ends = [];
    return sorted.map((entity) => {
      let level = ends.findIndex((end) => end <= entity[1]);
      if (level < 0) level = ends.length;
      ends[level] = entity[2];
      return { entity, level };
    });
  }

  function marked(text, entities) {
    const placed = levels(entities);
    const cuts = new Set([0, text.length]);
    for (const { entity } of placed) cuts.add(entity[1]).add(entity[2]);
    const points = [...cuts].sort((a, b) => a - b);
    const out = [];
    for (let i = 0; i + 1 < points.length; i++) {
      const [start, end] = [points[i], points[i + 1]];
      const over = placed.filter(({ entity }) => entity[1] <= start && entity[2] >= end);
      const piece = text.slice(start, end);
      if (over.length) {
        const span = element("span", "e", piece);
        const colour = (entity) => COLOURS[entity[0] % COLOURS.length];
        span.style.backgroundImage = over.map(({ entity }) => `linear-gradient(${colour(entity)},${colour(entity)})`).join(",");
        span.style.backgroundSize = over.map(() => "100% 3px").join(",");
        span.style.backgroundPosition = over.map(({ level }) => `0 calc(100% - ${12 - 4 * Math.min(level, 3)}px)`).join(",");
        span.style.paddingBottom = "14px";
        out.push(span);
      } else {
        out.push(piece);
      }
      for (const { entity } of placed.filter(({ entity }) => entity[2] === end)) out.push(tag(entity, "tag"));
    }
    return out;
  }

  function tag(entity, className) {
    const e = element("span", className + (entity[4] ? " wrong" : ""), data.types[entity[0]] + (entity[3] ? ` · ${entity[3]}` : ""));
    return e;
  }

  // Without the text: what stands where.
  const chips = (entities) =>
    entities.map((entity) => element("span", "chip" + (entity[4] ? " wrong" : ""), `${data.types[entity[0]]} ${entity[1]}–${entity[2]}${entity[3] ? ` · ${entity[3]}` : ""}`));

  const percent = (confidence) => (confidence === null ? "" : `${confidence} %`);
  const notes = (outcome, confidence) => [outcome === 0 ? "" : OUTCOMES[outcome], percent(confidence)].filter(Boolean).join(", ");

  function line(who, sentence, entities, extra) {
    const text = sentence.text === undefined ? chips(entities) : marked(sentence.text, entities);
    return element("div", "line", element("span", "who", who), element("div", "text", ...text, ...extra));
  }

  function answerLine(index, sentence) {
    const answer = sentence.arms[index];
    const who = dataset.arms[index].name;
    if (!answer) return line(who, sentence, [], [element("span", "chip", "no answer")]);
    const entities = answer.p.map((p) => [p[0], p[1], p[2], notes(p[3], p[4]), p[3] !== 0]);
    const extra = answer.u.map((u) => element("span", "chip wrong", `${data.types[u[0]]}${u[1] === null ? "" : ` “${u[1]}”`} · ${notes(u[2], u[3])}`));
    for (const m of answer.m) {
      const gold = sentence.gold[m];
      const what = sentence.text === undefined ? `${gold[1]}–${gold[2]}` : `“${sentence.text.slice(gold[1], gold[2])}”`;
      extra.push(element("span", "chip wrong", `missed: ${data.types[gold[0]]} ${what}`));
    }
    extra.push(element("span", `mark ${answer.x ? "right" : "wrong"}`, answer.x ? "✓ all right" : "✗"));
    return line(who, sentence, entities, extra);
  }

  function render() {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    current = -1;
    const shown = found.slice(page * PAGE, (page + 1) * PAGE);
    const [a, b] = [arm("arm-a"), arm("arm-b")];
    $("list").replaceChildren(...shown.map((sentence) => {
      const item = element("li", "", element("div", "id", sentence.id), line("gold", sentence, sentence.gold, []));
      if (a !== null) item.append(answerLine(a, sentence));
      if (b !== null && b !== a) item.append(answerLine(b, sentence));
      item.tabIndex = -1;
      return item;
    }));
    const from = found.length ? page * PAGE + 1 : 0;
    $("count").textContent = `${from}–${page * PAGE + shown.length} of ${found.length} (${dataset.sentences.length} in all)`;
    $("previous").disabled = page === 0;
    $("next").disabled = page >= pages - 1;
  }

  function turn(by) {
    page += by;
    render();
    $("sentences").scrollIntoView();
  }

  function step(by) {
    const items = $("list").children;
    if (!items.length) return;
    current = Math.min(Math.max(current + by, 0), items.length - 1);
    items[current].focus();
  }

  $("dataset").addEventListener("change", () => { chooseDataset(); filter(); });
  for (const id of ["arm-a", "arm-b", "show", "error", "type"]) $(id).addEventListener("change", filter);
  $("search").addEventListener("input", filter);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const act = { "/": () => $("search").focus(), j: () => step(1), k: () => step(-1), n: () => turn(1), p: () => turn(-1) }[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
  chooseDataset();
  filter();
}
