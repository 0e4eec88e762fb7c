// Uses the page as a reader would and writes "ok …" or "FAILED …" lines into the document.
const findings = [];
const check = (what, holds) => findings.push(`${holds ? "ok" : "FAILED"} ${what}`);
const $ = (id) => document.getElementById(id);
const items = () => [...$("list").children];
const set = (id, value, event = "change") => {
  $(id).value = value;
  $(id).dispatchEvent(new Event(event));
};
const count = () => $("count").textContent;
const key = (name) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
try {
  // Sorting.
  const table = document.querySelector("#table-main table");
  const first = () => table.tBodies[0].rows[0].cells[0].textContent;
  const button = table.tHead.rows[0].cells[1].querySelector("button");
  const heading = table.tHead.rows[0].cells[1];
  button.click();
  check("sorts numbers downwards first", first() === "merged" && heading.getAttribute("aria-sort") === "descending");
  button.click();
  check("sorts upwards on a second click", first() === "individual" && heading.getAttribute("aria-sort") === "ascending");
  table.tHead.rows[0].cells[2].querySelector("button").click();
  const last = table.tBodies[0].rows[2].cells[0].textContent;
  check("keeps what has no number at the end", last === "merged, free");
  check("only one column is sorted", table.querySelectorAll('[aria-sort="none"]').length === 2);

  // Text of the data.
  set("search", "alert(1)", "input");
  check("shows a script as text", items().length === 4 && items()[0].textContent.includes("\u003cscript>alert(1)\u003c/script>"));
  check("runs no script of the data", document.querySelectorAll("script").length === 3);
  set("search", "", "input");

  // Filters: 60 and 70 of 100 sentences are right.
  check("shows a page of all", count() === "1–50 of 101 (101 in all)" && items().length === 50);
  set("show", "errors");
  check("filters errors", count() === "1–40 of 40 (101 in all)");
  set("show", "correct");
  check("filters what is right", count() === "1–50 of 60 (101 in all)");
  set("show", "lost");
  check("finds flips", count() === "1–10 of 10 (101 in all)");
  set("show", "gained");
  check("finds no flips the other way", count() === "0–0 of 0 (101 in all)");
  set("show", "all");
  set("error", "1");
  check("filters by error kind", count() === "1–40 of 40 (101 in all)");
  set("error", "");
  set("type", "1");
  check("filters by type", count() === "1–41 of 41 (101 in all)");
  set("type", "");
  set("search", "alpha/test/42", "input");
  check("finds an id", items().length === 1);
  set("search", "", "input");
  set("arm-a", "2");
  set("error", "5");
  check("finds what is not in the text", count() === "1–5 of 5 (101 in all)" && items()[0].textContent.includes("“Atlantis”"));
  set("error", "6");
  check("finds what was missed", count() === "1–5 of 5 (101 in all)" && items()[0].textContent.includes("missed: Person"));
  set("error", "");

  // Marks under the text.
  const marks = items()[0].querySelectorAll(".e");
  check("marks the entity", marks.length === 3 && marks[0].textContent === "Ada0");
  set("search", "test/nested", "input");
  const nested = items()[0].querySelectorAll(".e");
  const lines = [...nested].map((e) => e.style.backgroundImage.split("linear-gradient").length - 1);
  check("stacks the lines of nested entities", lines.join() === "1,2" && nested[1].textContent === "Kraków");
  check("says where an arm has no answer", items()[0].textContent.includes("no answer"));
  set("search", "test/11", "input");
  check("counts as the browser does", items()[0].querySelector(".e").textContent === "University of Kraków");
  set("search", "", "input");

  // Keyboard.
  key("n");
  check("turns the page", count() === "51–100 of 101 (101 in all)");
  key("p");
  check("turns back", count() === "1–50 of 101 (101 in all)");
  key("j");
  key("j");
  check("steps to a sentence", document.activeElement === items()[1]);
  key("k");
  check("steps back", document.activeElement === items()[0]);
  key("/");
  check("jumps to the search", document.activeElement === $("search"));

  // Figures.
  const point = document.querySelector("#figure-comparison .point");
  point.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  check("explains a point", document.querySelector("#figure-comparison .picked").textContent.includes(`inerd explain comparison.svg#${point.id}`));

  // Shape and colours.
  check("no sideways scrolling of the page", document.documentElement.scrollWidth <= window.innerWidth);
  const paper = getComputedStyle(document.body).backgroundColor;
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  check("follows the colour scheme", paper === (dark ? "rgb(23, 24, 26)" : "rgb(255, 255, 255)"));
  check(`is ${dark ? "dark" : "light"}`, true);
  const ink = getComputedStyle(document.querySelector(".ink-fill")).fill;
  check("figures too", ink === (dark ? "rgb(236, 236, 234)" : "rgb(26, 26, 26)"));
  check("asks nobody", performance.getEntriesByType("resource").length === 0);
} catch (error) {
  findings.push(`FAILED with ${error.stack}`);
}
const out = document.createElement("pre");
out.id = "findings";
out.textContent = findings.join("\n");
document.body.append(out);
