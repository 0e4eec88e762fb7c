//! The page in a real browser (Chromium, headless, from `file://`). Skipped with a line where none is installed.

#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

use std::path::{Path, PathBuf};
use std::process::Command;

use inerd_report::{GoldSet, Options, ReportInput, write_report};
use inerd_text::{Entity, Sentence};

use crate::fixture;

/// What the page is asked to do; it writes its findings into the document.
const DRIVER: &str = include_str!("driver.js");

fn chromium() -> Option<&'static str> {
    let works = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(works);
    if found.is_none() {
        println!("skipped: no Chromium is installed, the page was not opened in a browser");
    }
    found
}

fn run(browser: &str, profile: &Path, arguments: &[&str], page: &Path) -> Vec<u8> {
    let output = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The report's page with the driver at its end.
fn driven(input: &ReportInput, folder: &Path, driver: &str) -> PathBuf {
    write_report(input, folder, Options::default()).unwrap();
    let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
    let path = folder.join("driven.html");
    std::fs::write(&path, page.replace("</body>", &format!("<script>\n{driver}</script>\n</body>"))).unwrap();
    path
}

/// What the driver found, as `name: value` lines.
fn findings(dom: &[u8]) -> Vec<String> {
    let dom = String::from_utf8_lossy(dom);
    let found = dom.split("<pre id=\"findings\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    found.unwrap_or_else(|| panic!("the driver did not finish: {dom}")).lines().map(str::to_owned).collect()
}

/// A sentence with an entity in an entity, which no arm has answered.
fn nested() -> Sentence {
    let text = "The University of Kraków 🦀 met .";
    let span = |surface: &str| {
        let start = text.find(surface).unwrap();
        (start, start + surface.len())
    };
    let entities = [("Organisation", span("University of Kraków")), ("Location", span("Kraków"))];
    Sentence {
        id: "alpha/test/nested".into(),
        text: text.into(),
        entities: entities.map(|(kind, (start, end))| Entity::new(kind, start, end)).into(),
        ..Sentence::default()
    }
}

#[test]
fn the_page_sorts_filters_and_listens_to_keys() {
    let Some(browser) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut input = fixture::experiment();
    input.gold[0].sentences.push(nested());
    let page = driven(&input, folder.path(), DRIVER);
    for (width, dark) in [(360, true), (800, false), (1400, false)] {
        let window = format!("--window-size={width},900");
        let scheme = format!("--blink-settings=preferredColorScheme={}", u8::from(!dark));
        let dom = run(browser, &folder.path().join("profile"), &[&window, &scheme, "--dump-dom"], &page);
        let findings = findings(&dom);
        let failed: Vec<&String> = findings.iter().filter(|l| !l.starts_with("ok ")).collect();
        assert!(failed.is_empty(), "at {window} {scheme}: {failed:#?}");
        assert!(findings.len() >= 25, "{findings:#?}");
        let wanted = if dark { "ok is dark" } else { "ok is light" };
        assert!(findings.iter().any(|l| l == wanted), "{wanted} at {window}: {findings:#?}");
    }
}

#[test]
fn the_page_prints() {
    let Some(browser) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    write_report(&fixture::experiment(), folder.path(), Options::default()).unwrap();
    let pdf = folder.path().join("printed.pdf");
    let print = format!("--print-to-pdf={}", pdf.display());
    run(browser, &folder.path().join("profile"), &[&print], &folder.path().join("index.html"));
    let printed = std::fs::read(pdf).unwrap();
    assert!(printed.starts_with(b"%PDF-") && printed.len() > 20_000, "{} bytes", printed.len());
}

#[test]
fn ten_thousand_sentences_stay_usable() {
    // The limits are for a core of one's own. On a busy machine a loop of known work, 20 ms there, says how much of a
    // core the page has had.
    const TIMING: &str = r#"
const slowness = () => {
  const start = performance.now();
  let x = 1;
  for (let i = 0; i < 10000000; i++) x = (Math.imul(x, 1103515245) + 12345) | 0;
  return Math.max(1, (performance.now() - start + x * 0) / 20);
};
const loaded = performance.now() / slowness();
const times = [];
for (const [id, event, value] of [["search", "input", "rome"], ["show", "change", "lost"], ["error", "change", "1"],
                                  ["show", "change", "all"], ["search", "input", ""]]) {
  const field = document.getElementById(id);
  const start = performance.now();
  field.value = value;
  field.dispatchEvent(new Event(event));
  document.body.offsetHeight;
  times.push((performance.now() - start) / slowness());
}
const out = document.createElement("pre");
out.id = "findings";
out.textContent = `${document.getElementById("count").textContent}\n${loaded}\n${times.join("\n")}`;
document.body.append(out);
"#;
    let Some(browser) = chromium() else { return };
    let mut input = fixture::experiment();
    input.cells.retain(|c| c.dataset == "alpha" && c.seed == 1 && c.arm != "merged, free");
    let sentences: Vec<_> = (0..100)
        .flat_map(|copy| {
            fixture::gold("alpha").into_iter().map(move |mut s| {
                s.id = format!("{}/{copy}", s.id);
                s
            })
        })
        .collect();
    for (cell, hits) in input.cells.iter_mut().zip([6_000, 7_000]) {
        cell.generations = fixture::answers(&sentences, hits, fixture::Misses::WrongType);
    }
    input.gold = vec![GoldSet { dataset: "alpha".into(), may_publish: true, types: Vec::new(), sentences }];
    let folder = tempfile::tempdir().unwrap();
    let page = driven(&input, folder.path(), TIMING);
    // The best of a few: other programs on the machine can only make it slower.
    let mut best = vec![f64::INFINITY; 6];
    for _ in 0..6 {
        let dom = run(browser, &folder.path().join("profile"), &["--dump-dom"], &page);
        let found = findings(&dom);
        assert_eq!(found[0], "1–50 of 4000 (10000 in all)", "the error filter is still on");
        assert_eq!(found.len(), best.len() + 1, "{found:?}");
        for (best, time) in best.iter_mut().zip(&found[1..]) {
            *best = best.min(time.parse().unwrap());
        }
        if best[0] < 1000.0 && best[1..].iter().all(|filter| *filter < 100.0) {
            return;
        }
    }
    panic!("milliseconds to load and draw (at most 1000), and of each filter (at most 100): {best:?}");
}
