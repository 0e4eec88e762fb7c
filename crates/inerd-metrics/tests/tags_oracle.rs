//! Scores of random taggings equal those of seqeval, nervaluate and conlleval's rules to the last digit.
//! `oracle/README.md` says how the expected results were made.

mod common;

use std::fmt::Write;

use common::{Random, bits, fnv};
use inerd_metrics::{Convention, Matches, MetricsError, Prf, Scheme, Score, Scores, TagRules, score_tags};

const EXPECTED: &str = include_str!("oracle/tags.txt");
const PREFIXES: [&[&str]; 6] = [
    &["I", "O", "B"],
    &["I", "O", "B"],
    &["I", "O", "E"],
    &["I", "O", "E"],
    &["I", "O", "B", "E", "S"],
    &["B", "I", "L", "O", "U"],
];
const TYPES: [&str; 3] = ["PER", "LOC", "X-Y"];
const WILD: [&str; 14] =
    ["B", "I", "E", "S", "U", "B-", "-PER", "I--LOC", "E-PER-", "U-LOC", "L-LOC", "S-PER", "E-LOC", "I-PER"];

type Entity = (usize, usize, &'static str);
type Tags = Vec<Vec<String>>;

fn entities(random: &mut Random, length: usize) -> Vec<Entity> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < length {
        if random.below(2) == 1 {
            let end = length.min(at + 1 + random.below(3));
            found.push((at, end, *random.pick(&TYPES)));
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

fn write(scheme: usize, found: &[Entity], length: usize) -> Vec<String> {
    let mut tags = vec!["O".to_owned(); length];
    for (index, &(begin, end, kind)) in found.iter().enumerate() {
        let mut marks = vec!["I"; end - begin];
        let last = marks.len() - 1;
        let before = index > 0 && (found[index - 1].1, found[index - 1].2) == (begin, kind);
        let after = found.get(index + 1).is_some_and(|next| (next.0, next.2) == (end, kind));
        match scheme {
            0 if before => marks[0] = "B",
            1 => marks[0] = "B",
            2 if after => marks[last] = "E",
            3 => marks[last] = "E",
            4 | 5 => {
                let [first, final_, single] = if scheme == 4 { ["B", "E", "S"] } else { ["B", "L", "U"] };
                marks[0] = first;
                marks[last] = final_;
                if last == 0 {
                    marks[0] = single;
                }
            }
            _ => {}
        }
        for (offset, mark) in marks.into_iter().enumerate() {
            tags[begin + offset] = format!("{mark}-{kind}");
        }
    }
    tags
}

fn noisy(random: &mut Random, scheme: usize, tags: Vec<String>, disorder: usize) -> Vec<String> {
    let replaced = tags.into_iter().map(|tag| {
        if disorder > 0 && random.below(4) == 0 {
            if disorder == 2 && random.below(2) == 1 {
                return (*random.pick(&WILD)).to_owned();
            }
            let prefix = *random.pick(PREFIXES[scheme]);
            if prefix == "O" { "O".to_owned() } else { format!("{prefix}-{}", random.pick(&TYPES)) }
        } else {
            tag
        }
    });
    replaced.collect()
}

fn draw(case: u64) -> (usize, Tags, Tags) {
    let mut random = Random::new(case);
    let scheme = random.below(6);
    let disorder = random.below(3);
    let (mut gold, mut predicted) = (Tags::new(), Tags::new());
    for _ in 0..=random.below(4) {
        let length = random.below(9);
        let mut found = entities(&mut random, length);
        let of_gold = if random.below(4) == 0 { disorder } else { 0 };
        gold.push(noisy(&mut random, scheme, write(scheme, &found, length), of_gold));
        if random.below(3) == 0 {
            found = entities(&mut random, length);
        }
        let of_predicted = disorder.max(random.below(2));
        predicted.push(noisy(&mut random, scheme, write(scheme, &found, length), of_predicted));
    }
    (scheme, gold, predicted)
}

fn prf(figures: Prf) -> String {
    bits(&[figures.precision, figures.recall, figures.f1])
}

fn by_type(scores: &Scores, line: impl Fn(&str, &Score) -> String) -> String {
    let mut lines: Vec<String> = scores.per_type.iter().map(|(kind, score)| line(kind, score)).collect();
    lines.push(line("micro", &scores.micro));
    lines.join("\n")
}

fn like_conlleval(scores: &Scores) -> String {
    by_type(scores, |kind, s| {
        let c = s.counts;
        format!("{kind} {} {} {} {}", c.tp, c.fp, c.fn_, prf(s.prf))
    })
}

fn like_seqeval(scores: &Scores) -> String {
    let mut text = by_type(scores, |kind, s| format!("{kind} {} {}", s.support, prf(s.prf)));
    for (name, mean) in [("macro", scores.macro_), ("weighted", scores.weighted)] {
        write!(text, "\n{name} {} {}", scores.micro.support, prf(mean)).unwrap();
    }
    text
}

fn like_nervaluate(scores: &Scores) -> String {
    by_type(scores, |kind, s| {
        let Matches { correct, incorrect, partial, missed, spurious } = s.matches.unwrap_or_default();
        format!("{kind} {correct} {incorrect} {partial} {missed} {spurious} {}", prf(s.prf))
    })
}

fn as_iob(tags: &Tags) -> Tags {
    let tag = |tag: &String| match tag.as_bytes().first() {
        Some(b'E' | b'L') => format!("I{}", &tag[1..]),
        Some(b'S' | b'U') => format!("B{}", &tag[1..]),
        _ => tag.clone(),
    };
    tags.iter().map(|tags| tags.iter().map(tag).collect()).collect()
}

fn results(case: u64) -> Vec<String> {
    let (scheme, gold, predicted) = draw(case);
    let (iob_gold, iob_predicted) = (as_iob(&gold), as_iob(&predicted));
    let text = |scores: Result<Scores, MetricsError>, like: fn(&Scores) -> String| match scores {
        Ok(scores) => like(&scores),
        Err(MetricsError::Tag { .. }) => "error".to_owned(),
        Err(error) => panic!("case {case}: {error}"),
    };
    let mut texts = vec![
        text(score_tags(TagRules::Conlleval, &gold, &predicted), like_conlleval),
        text(score_tags(TagRules::Seqeval, &gold, &predicted), like_seqeval),
        text(score_tags(TagRules::SeqevalStrict(Scheme::ALL[scheme]), &gold, &predicted), like_seqeval),
    ];
    for schema in [
        Convention::NervaluateStrict,
        Convention::NervaluateExact,
        Convention::NervaluatePartial,
        Convention::NervaluateType,
    ] {
        texts.push(text(score_tags(TagRules::Nervaluate(schema), &iob_gold, &iob_predicted), like_nervaluate));
    }
    texts
}

#[test]
fn random_taggings_score_as_their_own_tools_score_them() {
    assert!(EXPECTED.lines().count() >= 10_000);
    for (case, line) in (0..).zip(EXPECTED.lines()) {
        let texts = results(case);
        for (rules, (text, expected)) in texts.iter().zip(line.split(' ')).enumerate() {
            assert_eq!(fnv(text), expected, "case {case}, rules {rules}, {:?}:\n{text}", draw(case));
        }
    }
}
