//! `inerd data`, as a user meets it.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::Value;
use support::{Lab, TINY};

fn json(lab: &Lab, arguments: &[&str]) -> Value {
    let ended = lab.run(&[arguments, &["--output", "json"]].concat()).expect(0, &[]);
    serde_json::from_str(&ended.stdout()).unwrap()
}

/// A folder of the user's own, in two splits.
fn minutes(lab: &Lab) {
    fs::create_dir_all(lab.path("My Minutes")).unwrap();
    let train = "# id 1\tx=y\nAda B-PER\nspoke O\n\nBonn B-LOC\nslept O\n\nZoë B-PER\nDam I-PER\nsang O\n\n".repeat(4);
    fs::write(lab.path("My Minutes/train.conll"), train).unwrap();
    fs::write(lab.path("My Minutes/test.conll"), "Ada B-PER\nspoke O\n\nKraków B-LOC\nwoke O\n\n").unwrap();
    fs::write(lab.path("My Minutes/README.md"), "minutes\n").unwrap();
}

#[test]
fn data_of_ones_own_are_added_checked_and_trained_on() {
    let lab = Lab::new(&TINY.replace("synth-news", "my-minutes"));
    minutes(&lab);
    let added = lab.run(&["data", "add", "My Minutes"]).expect(0, &[]).stdout();
    assert!(added.contains("my-minutes") && added.contains("train.conll") && added.contains("PER"), "{added}");
    assert!(lab.path("cards/my-minutes.toml").is_file());
    lab.run(&["data", "add", "My Minutes"]).expect(3, &["my-minutes.toml"]);

    let checked = json(&lab, &["data", "check", "my-minutes"]);
    let dataset = &checked["datasets"][0];
    assert_eq!(dataset["read"]["files"][1]["found"]["types"]["PER"], 8);
    assert_eq!(dataset["test_in_train"]["count"], 1);
    assert_eq!(dataset["read"]["files"][1]["repairs"]["comment-line"], 4);
    assert_eq!(checked["repeated"][0]["test"], "my-minutes/test/1");

    // An experiment knows the card without being told where it is.
    let planned = lab.run(&["plan", "experiment.toml"]).expect(0, &[]).stdout();
    assert!(planned.contains("my-minutes"), "{planned}");
}

#[test]
fn a_file_in_another_encoding_is_refused_until_it_is_named() {
    let lab = Lab::new(TINY);
    fs::create_dir(lab.path("old")).unwrap();
    fs::write(lab.path("old/a.conll"), b"Zo\xeb\tB-P\n").unwrap();
    lab.run(&["data", "add", "old"]).expect(3, &["a.conll", "line 1", "not utf-8", "encoding"]);
    lab.run(&["data", "add", "old", "--encoding", "latin1"]).expect(0, &[]);
    let stats = lab.run(&["data", "stats", "old"]).expect(0, &[]).stdout();
    assert!(stats.contains("old: mentions per type"), "{stats}");
    lab.run(&["data", "add", "old", "--encoding", "latin1", "--name", "Bad Name"]).expect(3, &["a-z"]);
}

#[test]
fn stats_check_and_convert_answer_as_tables_json_and_figures() {
    let lab = Lab::new(TINY);
    let text = lab.run(&["data", "stats", "synth-news", "--plots", "plots"]).expect(0, &[]).stdout();
    assert!(text.contains("label-free %") && text.contains("Person"), "{text}");
    for name in ["types-synth-news.svg", "types-synth-news.pdf", "lengths.png"] {
        assert!(lab.path("plots").join(name).is_file(), "{name}");
    }
    let stats = json(&lab, &["data", "stats", "synth-news"]);
    assert_eq!(stats[0]["splits"][0][1]["sentences"], 800);

    let report = ["data", "check", "synth-news", "synth-bio", "--report", "report"];
    let text = lab.run(&report).expect(0, &[]).stdout();
    assert!(text.contains("surfaces with several types") && text.contains("test sentences that stand"), "{text}");
    let page = fs::read_to_string(lab.path("report/check.md")).unwrap();
    assert!(page.contains("| synth-bio |") && !page.contains("examples"), "{page}");
    let overlaps = fs::read_to_string(lab.path("report/overlaps.csv")).unwrap();
    assert!(overlaps.starts_with("tested,trained,test,train,similarity\n"), "{overlaps}");
    assert!(lab.path("report/overlap.svg").is_file());
    let checked = json(&lab, &["data", "check", "synth-news"]);
    assert!(checked["datasets"][0]["ambiguous_surfaces"]["count"].as_u64().unwrap() > 0);
    lab.run(&["data", "check", "synth-news", "--near", "1.5"]).expect(2, &["above 0"]);
    lab.run(&["data", "check", "synth-mews"]).expect(2, &["did you mean `synth-news`"]);

    lab.run(&["data", "convert", "synth-news", "out", "--to", "conll"]).expect(0, &[]);
    assert!(fs::read_to_string(lab.path("out/test.conll")).unwrap().contains("\tB-"));
    lab.run(&["data", "convert", "synth-news", "out", "--to", "conll"]).expect(3, &["train.conll"]);
}

#[test]
fn a_merge_is_told_before_it_is_trained_on() {
    let lab = Lab::new(TINY);
    let merge = ["data", "merge", "synth-news", "synth-bio", "--cap", "100", "--types", "prefix", "--to", "merged"];
    let merged = json(&lab, &merge);
    assert_eq!(merged["merge"]["sizes"]["synth-news"][1], 100);
    assert!(merged["merge"]["types"].as_object().unwrap().contains_key("synth-news Person"));
    assert_eq!(fs::read_to_string(lab.path("merged/train.jsonl")).unwrap().lines().count(), 200);
    let left = ["data", "merge", "synth-news", "synth-bio", "--leave-out", "synth-bio", "--weight", "synth-news=0.5"];
    let left = json(&lab, &left);
    assert_eq!(left["merge"]["sizes"]["synth-bio"][1], 0);
    assert!(left["merge"]["sizes"]["synth-news"][1].as_u64().unwrap() <= 400);
    lab.run(&["data", "merge", "synth-news", "--weight", "nobody=2"]).expect(2, &["`nobody` is not among"]);
}

#[test]
fn a_dataset_is_listed_fetched_and_verified() {
    let lab = Lab::new(TINY);
    let list = json(&lab, &["data", "list"]);
    let state = |name: &str| list.as_array().unwrap().iter().find(|d| d["name"] == name).unwrap()["state"].clone();
    assert_eq!(
        (state("synth-news"), state("wnut17"), state("conll2003")),
        ("generated".into(), "fetch".into(), "manual".into())
    );

    // One server that gives the file, one that cuts off at every try.
    let body = "Ada\tB-P\nran\tO\n\nBo\tB-P\n";
    let serve = |bytes: usize| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(&stream).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // A client that has gone is no failure of the server.
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body.as_bytes()[..bytes])).ok();
            }
        });
        format!("http://{address}")
    };
    let card = |address: &str| {
        fs::create_dir_all(lab.path("cards")).unwrap();
        let text = format!(
            "format = 1\nname = \"toy\"\ntitle = \"Toy\"\nlicence = \"CC0-1.0\"\nbase-url = \"{address}\"\n[reader.conll]\n\
             [[file]]\nsplit = \"all\"\npath = \"toy.conll\"\n\
             sha256 = \"e6c6f5f3e5f1c7b1d2b5a5a5f5ad9d3e0d0b5d8a7c3f4e2b1a09f8e7d6c5b4a3\"\n"
        );
        fs::write(lab.path("cards/toy.toml"), text).unwrap();
    };
    card(&serve(body.len()));
    lab.run(&["data", "fetch", "toy"]).expect(2, &["--data-dir"]);
    let fetch = ["data", "fetch", "toy", "--data-dir", "data"];
    lab.run(&fetch).expect(3, &["toy.conll", "checksum", "thrown away"]);
    assert!(!lab.path("data/toy/toy.conll").exists());
    let text = fs::read_to_string(lab.path("cards/toy.toml")).unwrap();
    let right = text.lines().filter(|line| !line.starts_with("sha256")).collect::<Vec<_>>().join("\n");
    fs::write(lab.path("cards/toy.toml"), right).unwrap();
    let fetched = lab.run(&fetch).expect(0, &["licence CC0-1.0"]).stdout();
    assert!(fetched.contains("no checksum in the card"), "{fetched}");
    assert_eq!(fs::read_to_string(lab.path("data/toy/toy.conll")).unwrap(), body);
    // What is there is not fetched again, whatever the server would say now.
    card(&serve(3));
    lab.run(&fetch).expect(3, &["was not touched"]);
    fs::remove_file(lab.path("data/toy/toy.conll")).unwrap();
    lab.run(&fetch).expect(3, &["broke off", "continued by the next fetch"]);
    lab.run(&["data", "fetch", "conll2003", "--data-dir", "data"]).expect(3, &["NIST", "downloaded automatically"]);
}
