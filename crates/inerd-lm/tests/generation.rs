//! Generation under a constraint, on a small random model.

use burn::tensor::Device;
use inerd_lm::generate::Free;
use inerd_lm::{
    Allowed, Branch, Branches, Config, Constraint, Given, Gpt2Config, LanguageModel, Output, Request, Sampling,
    Settings, generate, given_answers,
};

const END: u32 = 0;

fn model() -> (LanguageModel, Device) {
    let device = Device::flex();
    (LanguageModel::random(Config::Gpt2(Gpt2Config::new(60, 64, 32, 2, 4)), 7, &device).unwrap(), device)
}

fn settings(batch: usize) -> Settings {
    Settings { batch, max_new_tokens: 20, end_of_sequence: END }
}

fn prompts() -> Vec<Vec<u32>> {
    (0..9u32).map(|i| (0..3 + (i * 5) % 11).map(|t| 1 + (i * 13 + t * 7) % 59).collect()).collect()
}

/// Allows the tokens of one residue class after the other, with a forced token in between, and end-of-sequence from
/// the tenth token on.
#[derive(Clone, Default)]
struct Stripes {
    step: u32,
    list: Vec<u32>,
}

impl Constraint for Stripes {
    fn allowed(&mut self) -> Allowed<'_> {
        self.list = match self.step % 3 {
            2 => vec![50 + self.step % 7],
            class => (1..50).filter(|t| t % 5 == class).collect(),
        };
        if self.step >= 10 && self.step % 3 != 2 {
            self.list.insert(0, END);
        }
        Allowed::Only(&self.list)
    }

    fn forced(&mut self, run: &mut Vec<u32>) {
        if self.step % 3 == 2 {
            run.push(50 + self.step % 7);
        }
    }

    fn advance(&mut self, _: u32) {
        self.step += 1;
    }
}

fn answer(constraint: &dyn Fn() -> Box<dyn Constraint>, batch: usize) -> Vec<Output> {
    let (model, device) = model();
    let requests = prompts().into_iter().map(|prompt| Request::new(prompt, constraint())).collect();
    generate(&model, requests, settings(batch), &device, &mut |_| {}).unwrap()
}

/// What one should get: all logits at every step from a full pass over the sequence, filtered afterwards.
fn reference(constraint: &dyn Fn() -> Box<dyn Constraint>) -> Vec<Vec<u32>> {
    let (model, device) = model();
    prompts()
        .into_iter()
        .map(|mut sequence| {
            let mut constraint = constraint();
            let mut answer = Vec::new();
            while answer.len() < 20 && answer.last() != Some(&END) {
                let logits = model.last_logits(&sequence, &device);
                let allowed = constraint.allowed();
                let token = (0..60)
                    .filter(|t| match allowed {
                        Allowed::Any => true,
                        Allowed::Only(tokens) => tokens.contains(t),
                        Allowed::Except(tokens) => !tokens.contains(t),
                    })
                    .max_by(|&a, &b| logits[a as usize].total_cmp(&logits[b as usize]))
                    .unwrap();
                constraint.advance(token);
                answer.push(token);
                sequence.push(token);
            }
            answer
        })
        .collect()
}

#[test]
fn masked_generation_equals_filtering_all_logits() {
    let constraint = || Box::new(Stripes::default()) as Box<dyn Constraint>;
    let got: Vec<Vec<u32>> = answer(&constraint, 4).into_iter().map(|o| o.ids).collect();
    assert_eq!(got, reference(&constraint));
}

#[test]
fn free_generation_equals_the_full_pass_without_a_cache() {
    let constraint = || Box::new(Free) as Box<dyn Constraint>;
    let got: Vec<Vec<u32>> = answer(&constraint, 4).into_iter().map(|o| o.ids).collect();
    assert_eq!(got, reference(&constraint));
}

#[test]
fn the_batch_size_changes_nothing() {
    let constraint = || Box::new(Stripes::default()) as Box<dyn Constraint>;
    let one = answer(&constraint, 1);
    for batch in [2, 3, 16] {
        let many = answer(&constraint, batch);
        for (a, b) in one.iter().zip(&many) {
            assert_eq!(a.ids, b.ids, "batch {batch}");
            assert!(a.probabilities.iter().zip(&b.probabilities).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}

#[test]
fn probabilities_are_over_the_allowed_tokens_and_limits_are_told() {
    let outputs = answer(&|| Box::new(Stripes::default()), 4);
    for output in &outputs {
        assert_eq!(output.ids.len(), output.probabilities.len());
        assert!(output.probabilities.iter().all(|&p| p > 0.0 && p <= 1.0));
        // The third token has no alternative.
        assert!((output.probabilities[2] - 1.0).abs() < f32::EPSILON);
        assert_eq!(output.truncated, output.ids.last() != Some(&END));
        assert!(output.ids.len() <= 20);
    }
}

#[test]
fn a_prompt_as_long_as_the_context_is_an_error() {
    let (model, device) = model();
    let request = Request::new(vec![1; 64], Box::new(Free));
    let error = generate(&model, vec![request], settings(1), &device, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("64"), "{error}");
}

/// The model's probabilities behind a sequence, from a full pass.
fn probabilities(model: &LanguageModel, sequence: &[u32], device: &Device) -> Vec<f32> {
    let logits = model.last_logits(sequence, device);
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|l| (l - top).exp()).collect();
    let total: f32 = weights.iter().sum();
    weights.iter().map(|w| w / total).collect()
}

#[test]
fn given_answers_are_judged_as_by_full_passes() {
    let (model, device) = model();
    let prompts = prompts();
    let answers: Vec<Vec<u32>> = (0..9u32).map(|i| (0..i % 5).map(|t| (i * 3 + t * 11) % 60).collect()).collect();
    let given: Vec<Given<'_>> = prompts.iter().zip(&answers).map(|(prompt, answer)| Given { prompt, answer }).collect();
    let mut seen = vec![0; given.len()];
    given_answers(&model, &given, 4, &device, &mut |sequence, at, row| {
        assert_eq!(at, seen[sequence], "positions come in order");
        seen[sequence] += 1;
        let before = [prompts[sequence].as_slice(), &answers[sequence][..at]].concat();
        let expected = probabilities(&model, &before, &device);
        assert_eq!(row.len(), 60);
        assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5));
    })
    .unwrap();
    assert_eq!(seen, answers.iter().map(Vec::len).collect::<Vec<_>>());
}

#[test]
fn branches_go_on_as_sequences_of_their_own_would() {
    let (model, device) = model();
    let prompt = prompts().remove(3);
    let mut branches = Branches::new(&model, prompt.clone(), &device);
    let close = |row: &[f32], sequence: &[u32], wanted: Option<&[u32]>| {
        let logits = model.last_logits(&[&prompt, sequence].concat(), &device);
        let expected: Vec<f32> = wanted.map_or(logits.clone(), |w| w.iter().map(|&t| logits[t as usize]).collect());
        assert_eq!(row.len(), expected.len());
        assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{sequence:?}");
    };
    let branch = |parent, tokens, wanted| Branch { parent, tokens, wanted };
    let rows = branches.extend(&[branch(0, &[], Some(&[4, 7]))]).unwrap();
    close(&rows[0], &[], Some(&[4, 7]));
    // One becomes three, of different lengths.
    let rows =
        branches.extend(&[branch(0, &[4], None), branch(0, &[7, 1, 2], None), branch(0, &[9, 9], None)]).unwrap();
    close(&rows[0], &[4], None);
    close(&rows[1], &[7, 1, 2], None);
    close(&rows[2], &[9, 9], None);
    // The middle one doubles, the first ends.
    let wanted: &[u32] = &[0, 59];
    let asked = [branch(2, &[5], Some(wanted)), branch(1, &[6], Some(&[3])), branch(1, &[8, 8], Some(wanted))];
    let rows = branches.extend(&asked).unwrap();
    close(&rows[0], &[9, 9, 5], Some(wanted));
    close(&rows[1], &[7, 1, 2, 6], Some(&[3]));
    close(&rows[2], &[7, 1, 2, 8, 8], Some(wanted));
    let error = branches.extend(&[branch(0, &[1; 60], None)]).unwrap_err().to_string();
    assert!(error.contains("64"), "{error}");
}

/// Allows three tokens, then ends.
struct OneOfThree(bool);

impl Constraint for OneOfThree {
    fn allowed(&mut self) -> Allowed<'_> {
        Allowed::Only(if self.0 { &[END] } else { &[3, 20, 41] })
    }
    fn forced(&mut self, run: &mut Vec<u32>) {
        run.extend(self.0.then_some(END));
    }
    fn advance(&mut self, _: u32) {
        self.0 = true;
    }
}

#[test]
fn draws_follow_the_tempered_probabilities_and_their_seeds_alone() {
    let (model, device) = model();
    let prompt = prompts().remove(2);
    let draws = 4000;
    let request = |temperature, seed| Request {
        sampling: Some(Sampling { temperature, seed }),
        ..Request::new(prompt.clone(), Box::new(OneOfThree(false)))
    };
    let drawn = |temperature, batch| -> Vec<u32> {
        let requests = (0..draws).map(|seed| request(temperature, seed)).collect();
        let outputs = generate(&model, requests, settings(batch), &device, &mut |_| {}).unwrap();
        outputs.iter().map(|o| o.ids[0]).collect()
    };
    let logits = model.last_logits(&prompt, &device);
    for temperature in [1.0, 0.05] {
        let weights: Vec<f64> = [3, 20, 41].iter().map(|&t| (f64::from(logits[t]) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let tokens = drawn(temperature, 64);
        for (token, weight) in [3u32, 20, 41].iter().zip(weights) {
            let (expected, count) = (weight / total, tokens.iter().filter(|t| *t == token).count());
            let deviation = (expected * (1.0 - expected) / draws as f64).sqrt();
            // Five standard deviations: the seeds are fixed, so this holds always or never.
            assert!((count as f64 / draws as f64 - expected).abs() <= 5.0 * deviation + 1e-9, "{token}: {count}");
        }
        assert_eq!(tokens, drawn(temperature, 7), "the batch size changes nothing");
    }
    let greedy = generate(&model, vec![request(0.0, 1)], settings(1), &device, &mut |_| {}).unwrap();
    let best = [3u32, 20, 41].into_iter().max_by(|&a, &b| logits[a as usize].total_cmp(&logits[b as usize])).unwrap();
    assert_eq!(greedy[0].ids, [best, END]);
}

#[test]
fn a_request_may_have_a_limit_of_its_own_and_equal_prompts_are_answered_each() {
    let (model, device) = model();
    let prompt = prompts().remove(4);
    let limits = [None, Some(3), Some(50), None, Some(0)];
    let requests = limits
        .map(|max_new_tokens| Request { max_new_tokens, ..Request::new(prompt.clone(), Box::<Stripes>::default()) });
    let outputs = generate(&model, requests.into(), settings(8), &device, &mut |_| {}).unwrap();
    let whole = &outputs[0];
    assert_eq!(outputs[3].ids, whole.ids);
    assert_eq!(outputs[2].ids, whole.ids, "the common limit holds as well");
    assert_eq!(outputs[1].ids, whole.ids[..3]);
    assert!(outputs[1].truncated && outputs[4].truncated && outputs[4].ids.is_empty());
}

#[test]
fn waiting_requests_enter_as_others_leave() {
    // Answers of very different lengths, far more than fit into a batch.
    let constraint = || Box::new(Stripes::default()) as Box<dyn Constraint>;
    let (model, device) = model();
    let requests = || -> Vec<Request> {
        let limits = (0..40).map(|i| 1 + i * 7 % 19);
        let prompts = prompts().into_iter().cycle();
        prompts.zip(limits).map(|(p, l)| Request { max_new_tokens: Some(l), ..Request::new(p, constraint()) }).collect()
    };
    let mut told = Vec::new();
    let together = generate(&model, requests(), settings(4), &device, &mut |done| told.push(done)).unwrap();
    let alone = generate(&model, requests(), settings(1), &device, &mut |_| {}).unwrap();
    for (a, b) in together.iter().zip(&alone) {
        assert_eq!(a.ids, b.ids);
        assert_eq!(a.truncated, b.truncated);
    }
    assert!(told.is_sorted() && told.last() == Some(&40));
}
