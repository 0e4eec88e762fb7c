//! Co-Regularization and packed levitated markers against computations by hand, alone and together.

use std::path::Path;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use inerd_lm::{Config, FalconConfig, Gpt2Config, GptNeoXConfig, LanguageModel, LlamaConfig, LoraConfig};
use inerd_training::{
    Candidate, CoRegularization, Example, Flow, Hooks, Labelled, Loss, Marked, Markers, PlMarker, Schedule, Settings,
    Step, Trained, classify_spans, divergence, perturbed, span_logits, train,
};

/// Position, marker and class tokens live in one vocabulary of 40.
const MARKERS: [u32; 2] = [38, 39];

fn model(seed: u64) -> LanguageModel {
    LanguageModel::random(Config::Gpt2(Gpt2Config::new(40, 24, 32, 2, 4)), seed, &Device::flex()).unwrap()
}

/// One model of each family, with weights so large that every influence shows. Rotary positions and learnt ones, shared
/// key-value heads and heads of their own, a sliding window.
fn sharp(seed: u64) -> Vec<(&'static str, LanguageModel)> {
    let llama = LlamaConfig { num_key_value_heads: Some(2), ..LlamaConfig::new(40, 24, 32, 2, 4) };
    let windowed = LlamaConfig { sliding_window: Some(5), ..llama.clone() };
    let families = [
        ("gpt2", Config::Gpt2(Gpt2Config::new(40, 24, 32, 2, 4))),
        ("llama", Config::Llama(llama)),
        ("mistral", Config::Mistral(windowed)),
        ("gpt-neox", Config::GptNeoX(GptNeoXConfig::new(40, 24, 32, 2, 4))),
        ("falcon", Config::Falcon(FalconConfig::new(40, 24, 32, 2, 4))),
    ];
    let sharp = |config| perturbed(&LanguageModel::random(config, seed, &Device::flex()).unwrap(), 10.0, seed);
    families.map(|(name, config)| (name, sharp(config))).into()
}

fn markers(pairs: usize) -> Markers {
    Markers { tokens: MARKERS, classes: vec![vec![0], vec![30], vec![31, 32], vec![33, 30, 34]], pairs }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f32>().map(f64::from).collect()
}

/// The divergence of distributions and its gradient by their logits, from the definition, in f64.
fn divergence_by_hand(logits: &[Vec<f64>]) -> (f64, Vec<Vec<f64>>) {
    let softmax = |row: &Vec<f64>| {
        let total: f64 = row.iter().map(|x| x.exp()).sum();
        row.iter().map(|x| x.exp() / total).collect::<Vec<f64>>()
    };
    let p: Vec<Vec<f64>> = logits.iter().map(softmax).collect();
    let copies = p.len() as f64;
    let q: Vec<f64> = (0..p[0].len()).map(|t| p.iter().map(|p| p[t]).sum::<f64>() / copies).collect();
    let kl = |p: &Vec<f64>| q.iter().zip(p).filter(|(q, _)| **q > 0.0).map(|(q, p)| q * (q / p).ln()).sum::<f64>();
    let value = p.iter().map(kl).sum::<f64>() / copies;
    // With q constant, d KL(q ‖ softmax(z)) / dz = softmax(z) - q.
    let gradient = p.iter().map(|p| p.iter().zip(&q).map(|(p, q)| (p - q) / copies).collect()).collect();
    (value, gradient)
}

#[test]
fn the_divergence_and_its_gradient_equal_a_computation_by_hand() {
    // Worked out on paper: p = (1/2, 1/2) and (1/4, 3/4), q = (3/8, 5/8).
    let device = Device::flex().autodiff();
    let rows = [[0.5f32.ln(), 0.5f32.ln()], [0.25f32.ln(), 0.75f32.ln()]];
    let two = rows.map(|row| Tensor::<2>::from_data([row], &device)).to_vec();
    let on_paper = 0.5 * (0.375 * (0.75f64.ln() + 1.5f64.ln()) + 0.625 * (1.25f64.ln() + (5.0f64 / 6.0).ln()));
    assert!((values(divergence(two))[0] - on_paper).abs() < 1e-6);

    // Three copies, and a token that is impossible for all of them.
    let logits = [[0.3f32, -1.2, 2.0, -1e9], [1.5, 0.1, -0.4, -1e9], [-0.7, 0.9, 0.2, -1e9]];
    let tensors = logits.map(|row| Tensor::<2>::from_data([row], &device).require_grad());
    let found = divergence(tensors.iter().map(|t| log_softmax(t.clone(), 1)).collect());
    let (value, gradient) = divergence_by_hand(&logits.map(|row| row.iter().map(|&x| f64::from(x)).collect()));
    assert!((values(found.clone())[0] - value).abs() < 1e-6, "{found} instead of {value}");
    let gradients = found.backward();
    for (tensor, want) in tensors.iter().zip(&gradient) {
        // If the gradient flowed through q as well, it would be another one.
        for (got, want) in values(tensor.grad(&gradients).unwrap()).iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{got} instead of {want}");
        }
    }
}

#[test]
fn copies_that_agree_have_nothing_to_learn_from_each_other() {
    let device = Device::flex().autodiff();
    let logits = [[0.3f32, -1.2, 2.0, -1e9], [1.5, 0.1, -0.4, 3.0]];
    let same: Vec<Tensor<2>> = (0..3).map(|_| Tensor::from_data(logits, &device).require_grad()).collect();
    let found = divergence(same.iter().map(|t| log_softmax(t.clone(), 1)).collect());
    assert!(values(found.clone())[0].abs() < 1e-6);
    let gradients = found.backward();
    assert!(same.iter().all(|t| values(t.grad(&gradients).unwrap()).iter().all(|g| g.abs() < 1e-6)));
}

#[test]
fn the_weight_of_the_agreement_is_zero_in_the_warm_up() {
    let technique = CoRegularization { alpha: 3.0, warmup: 0.1 };
    let weights: Vec<f64> = (0..30).map(|step| technique.alpha_at(step, 30)).collect();
    assert_eq!(weights.iter().position(|&w| w > 0.0), Some(3));
    assert!(weights[3..].iter().all(|&w| (w - 3.0).abs() < f64::EPSILON));
    assert!((CoRegularization { warmup: 0.0, ..technique }.alpha_at(0, 30) - 3.0).abs() < f64::EPSILON);
}

/// Texts of different lengths with spans all over them.
fn texts() -> (Vec<Vec<u32>>, Vec<Vec<Candidate>>) {
    let ids: Vec<Vec<u32>> =
        [7usize, 1, 12, 4].iter().zip(1..).map(|(&n, k)| (0..n as u32).map(|i| 1 + (i * k) % 29).collect()).collect();
    let spans = |ids: &Vec<u32>| {
        (0..ids.len())
            .flat_map(|first| (first..ids.len().min(first + 3)).map(move |last| Candidate { first, last }))
            .collect()
    };
    let spans = ids.iter().map(spans).collect();
    (ids, spans)
}

fn marked<'a>(ids: &'a [Vec<u32>], spans: &[Vec<Candidate>]) -> Vec<Marked<'a>> {
    ids.iter().zip(spans).map(|(text, spans)| Marked { text, spans: spans.clone() }).collect()
}

#[test]
fn many_pairs_in_one_pass_give_the_logits_of_one_pair_at_a_time() {
    for (family, model) in sharp(3) {
        packed_as_alone(family, &model);
    }
}

fn packed_as_alone(family: &str, model: &LanguageModel) {
    let device = Device::flex();
    let (ids, spans) = texts();
    let markers = markers(256);
    let packed = values(span_logits(&model.decoder, &markers, &marked(&ids, &spans), None, &device));
    let one_by_one = marked(&ids, &spans).into_iter().flat_map(|text| {
        let single = |span: &Candidate| Marked { text: text.text, spans: vec![*span] };
        text.spans.iter().map(single).collect::<Vec<_>>()
    });
    let alone: Vec<f64> =
        one_by_one.flat_map(|pair| values(span_logits(&model.decoder, &markers, &[pair], None, &device))).collect();
    assert_eq!(packed.len(), alone.len());
    let spread = alone.iter().copied().fold(0.0, f64::max) - alone.iter().copied().fold(0.0, f64::min);
    assert!(spread > 1.0, "{family}: a model that says the same everywhere would pass");
    for (a, b) in packed.iter().zip(&alone) {
        assert!((a - b).abs() < 1e-4, "{family}: {a} packed, {b} alone");
    }
    // The same as probabilities, in passes of three pairs.
    let markers = Markers { pairs: 3, ..markers };
    let probabilities = classify_spans(model, &markers, &marked(&ids, &spans), &device);
    assert!(probabilities.iter().zip(&spans).all(|(found, spans)| found.len() == spans.len()));
    for (found, logits) in probabilities.iter().flatten().zip(alone.chunks_exact(4)) {
        let total: f64 = logits.iter().map(|x| x.exp()).sum();
        for (p, x) in found.iter().zip(logits) {
            assert!((f64::from(*p) - x.exp() / total).abs() < 1e-4);
        }
    }
}

#[test]
fn a_change_moves_exactly_the_logits_that_may_see_it() {
    // A window hides what is far away.
    for (family, model) in sharp(4).into_iter().filter(|(family, _)| *family != "mistral") {
        change_moves_what_sees_it(family, &model);
    }
}

fn change_moves_what_sees_it(family: &str, model: &LanguageModel) {
    let device = Device::flex();
    let (ids, spans) = texts();
    let markers = markers(256);
    let logits = |ids: &[Vec<u32>], spans: &[Vec<Candidate>]| -> Vec<Vec<f64>> {
        let flat = values(span_logits(&model.decoder, &markers, &marked(ids, spans), None, &device));
        flat.chunks_exact(4).map(<[f64]>::to_vec).collect()
    };
    let before = logits(&ids, &spans);
    let owner: Vec<(usize, usize)> =
        spans.iter().enumerate().flat_map(|(text, spans)| (0..spans.len()).map(move |pair| (text, pair))).collect();
    let moved = |after: &[Vec<f64>]| -> Vec<(usize, usize)> {
        let changed = before.iter().zip(after).map(|(a, b)| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-5));
        owner.iter().zip(changed).filter(|(_, changed)| *changed).map(|(owner, _)| *owner).collect()
    };
    for text in 0..ids.len() {
        // Any token of a text is seen by all of its pairs and by nobody else's.
        for token in 0..ids[text].len() {
            let mut other = ids.clone();
            other[text][token] = 29;
            let own: Vec<(usize, usize)> = (0..spans[text].len()).map(|pair| (text, pair)).collect();
            assert_eq!(moved(&logits(&other, &spans)), own, "{family}: token {token} of text {text}");
        }
        // A pair that moves is seen by itself alone.
        for pair in 0..spans[text].len() {
            let mut other = spans.clone();
            let Candidate { first, last } = other[text][pair];
            other[text][pair] = Candidate { first, last: if last > first { first } else { ids[text].len() - 1 } };
            if other[text][pair] != spans[text][pair] {
                assert_eq!(moved(&logits(&ids, &other)), [(text, pair)], "{family}");
            }
        }
    }
    // Start and end are told apart, where they don't stand at one place.
    let turned = Markers { tokens: [MARKERS[1], MARKERS[0]], ..markers.clone() };
    let after = values(span_logits(&model.decoder, &turned, &marked(&ids, &spans), None, &device));
    let long = owner.iter().copied().filter(|&(text, pair)| spans[text][pair].first < spans[text][pair].last);
    let after: Vec<Vec<f64>> = after.chunks_exact(4).map(<[f64]>::to_vec).collect();
    assert_eq!(moved(&after), long.collect::<Vec<_>>(), "{family}");
}

/// Sentences whose third token decides the answer and the class of the span in front of it.
fn examples(count: u32) -> Vec<Example> {
    (0..count)
        .map(|i| {
            let (kind, word) = (i % 2, 2 + i % 13);
            let prompt = vec![word, 2 + (i * 5) % 13, 20 + kind, 25];
            let response = vec![30 + kind, word, 0];
            let label = |first: usize, last: usize| Labelled {
                candidate: Candidate { first, last },
                class: if (first, last) == (0, 1) { 1 + kind as usize } else { 0 },
            };
            let spans = (0..3).flat_map(|first| (first..3).map(move |last| label(first, last))).collect();
            let allowed = vec![vec![0, 30, 31], vec![2 + (i * 5) % 13, word].into_iter().collect(), vec![0]];
            Example { response: 4, ids: [prompt, response].concat(), allowed: Some(sorted(allowed)), spans }
        })
        .collect()
}

fn sorted(mut lists: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    for list in &mut lists {
        list.sort_unstable();
        list.dedup();
    }
    lists
}

fn settings(loss: Loss, co_regularization: bool, pl_marker: bool) -> Settings {
    Settings {
        epochs: 4,
        max_steps: None,
        patience: None,
        batch: 8,
        micro_batch: 4,
        learning_rate: 3e-3,
        schedule: Schedule::Constant { warmup: 0.0 },
        weight_decay: 0.01,
        betas: (0.9, 0.999),
        epsilon: 1e-8,
        clip: Some(1.0),
        loss,
        seed: 5,
        checkpoint_every: None,
        co_regularization: co_regularization.then_some(CoRegularization { alpha: 1.0, warmup: 0.1 }),
        pl_marker: pl_marker.then(|| PlMarker { markers: markers(4), weight: 1.0, negatives: Some(2.0) }),
    }
}

struct Quiet {
    stop_after: usize,
    steps: Vec<Step>,
}

impl Hooks for Quiet {
    fn on_step(&mut self, step: &Step) -> Flow {
        self.steps.push(*step);
        if step.step == self.stop_after { Flow::Stop } else { Flow::Continue }
    }

    fn validate(
        &mut self,
        _: &LanguageModel,
        _: usize,
    ) -> Result<Option<f64>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(None)
    }
}

fn run(dir: &Path, settings: &Settings, stop_after: usize) -> (Trained, Vec<Step>) {
    let copies = if settings.co_regularization.is_some() { vec![model(1), model(2)] } else { vec![model(1)] };
    run_with(copies, dir, settings, stop_after)
}

fn run_with(copies: Vec<LanguageModel>, dir: &Path, settings: &Settings, stop_after: usize) -> (Trained, Vec<Step>) {
    let mut hooks = Quiet { stop_after, steps: Vec::new() };
    let trained = train(copies, &examples(40), settings, &Device::flex(), dir, &mut hooks).unwrap();
    (trained, hooks.steps)
}

fn weights(trained: &Trained) -> Vec<u8> {
    let Trained::Finished { model, .. } = trained else { panic!("not finished") };
    stored(model)
}

/// What is trained of a model: all weights, or the adapter's.
fn stored(model: &LanguageModel) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    let mut files = ["model.safetensors", "adapter_model.safetensors"].iter().map(|name| dir.path().join(name));
    std::fs::read(files.find(|path| path.exists()).unwrap()).unwrap()
}

fn lora() -> LoraConfig {
    LoraConfig { rank: 2, alpha: 4.0, dropout: 0.1, rslora: false, targets: None, trained_tokens: MARKERS.to_vec() }
}

#[test]
fn each_technique_and_both_learn_and_resume_bit_for_bit() {
    for (loss, co_regularization, pl_marker) in
        [(Loss::Response, true, false), (Loss::Response, false, true), (Loss::Allowed, true, true)]
    {
        let settings = settings(loss, co_regularization, pl_marker);
        let what = format!("{loss:?}, co-regularization {co_regularization}, markers {pl_marker}");
        let dir = tempfile::tempdir().unwrap();
        let (trained, steps) = run(dir.path(), &settings, usize::MAX);
        let (first, last) = (steps[0], steps[steps.len() - 1]);
        assert!(last.loss < 0.9 * first.loss, "{what}: {first:?} … {last:?}");
        assert_eq!((first.divergence.is_some(), first.spans.is_some()), (co_regularization, pl_marker), "{what}");
        if let (Some(first), Some(last)) = (first.spans, last.spans) {
            assert!(last < 0.9 * first, "{what}: spans are not learnt: {first} … {last}");
        }
        // Inside the warm-up, at an epoch's end, inside the last epoch.
        for stop in [1, 5, 18] {
            let dir = tempfile::tempdir().unwrap();
            let (interrupted, before) = run(dir.path(), &settings, stop);
            assert!(matches!(interrupted, Trained::Interrupted { steps } if steps == stop));
            let (resumed, after) = run(dir.path(), &settings, usize::MAX);
            assert_eq!([before, after].concat(), steps, "{what}, stopped after {stop}");
            assert!(weights(&resumed) == weights(&trained), "{what}: other weights when stopped after step {stop}");
        }
    }
}

#[test]
fn several_adapters_learn_on_one_frozen_base_and_resume_bit_for_bit() {
    let settings = Settings { learning_rate: 3e-2, ..settings(Loss::Allowed, true, true) };
    let config = Config::Llama(LlamaConfig::new(40, 24, 32, 2, 4));
    let base = LanguageModel::random(config, 1, &Device::flex()).unwrap();
    // Adapters of their own, and copies of one that is trained already and goes on, under one name.
    let fresh = ["one", "two", "three"].iter().zip(1..);
    let fresh: Vec<LanguageModel> = fresh.map(|(name, seed)| base.with_adapter(&lora(), name, seed).unwrap()).collect();
    let gone_on = vec![fresh[0].clone(), perturbed(&fresh[0], 0.05, 9), perturbed(&fresh[0], 0.05, 10)];
    for copies in [fresh, gone_on] {
        let dir = tempfile::tempdir().unwrap();
        let (trained, steps) = run_with(copies.clone(), dir.path(), &settings, usize::MAX);
        let (first, last) = (steps[0], steps[steps.len() - 1]);
        assert!(last.loss < 0.9 * first.loss, "{first:?} … {last:?}");
        assert!(steps.iter().skip(1).all(|step| step.divergence.is_some_and(|divergence| divergence > 0.0)));
        let Trained::Finished { model, .. } = &trained else { panic!("not finished") };
        assert!(stored(&model.clone().merged()) != stored(&copies[0].clone().merged()));
        for stop in [1, 13] {
            let dir = tempfile::tempdir().unwrap();
            let (_, before) = run_with(copies.clone(), dir.path(), &settings, stop);
            let (resumed, after) = run_with(copies.clone(), dir.path(), &settings, usize::MAX);
            assert_eq!([before, after].concat(), steps, "stopped after {stop}");
            assert!(weights(&resumed) == weights(&trained), "other weights when stopped after step {stop}");
        }
    }
}

#[test]
fn the_agreement_draws_the_copies_together() {
    let last = |alpha: f64| {
        let mut settings = settings(Loss::Allowed, true, false);
        settings.co_regularization = Some(CoRegularization { alpha, warmup: 0.1 });
        let dir = tempfile::tempdir().unwrap();
        let (_, steps) = run(dir.path(), &settings, usize::MAX);
        steps.iter().rev().take(5).filter_map(|step| step.divergence).sum::<f64>()
    };
    let (apart, together) = (last(0.0), last(20.0));
    assert!(together < 0.5 * apart, "{together} with the agreement, {apart} without");
}

#[test]
fn the_span_classifier_of_a_trained_model_finds_the_spans() {
    let settings = Settings { epochs: 25, ..settings(Loss::Response, false, true) };
    let dir = tempfile::tempdir().unwrap();
    let (trained, _) = run(dir.path(), &settings, usize::MAX);
    let Trained::Finished { model, .. } = trained else { panic!("not finished") };
    let examples = examples(13);
    let texts: Vec<Marked<'_>> = (examples.iter())
        .map(|e| Marked { text: &e.ids[..e.response], spans: e.spans.iter().map(|s| s.candidate).collect() })
        .collect();
    let found = classify_spans(&model, &markers(4), &texts, &Device::flex());
    for (example, probabilities) in examples.iter().zip(found) {
        for (span, p) in example.spans.iter().zip(probabilities) {
            let best = (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap();
            assert_eq!(best, span.class, "{span:?}: {p:?}");
        }
    }
}

#[test]
fn noise_makes_copies_that_begin_elsewhere() {
    let model = model(1);
    let logits = |model: &LanguageModel| model.last_logits(&[1, 2, 3], &Device::flex());
    let [none, one, again, other] =
        [(0.0, 1), (0.1, 1), (0.1, 1), (0.1, 2)].map(|(noise, seed)| logits(&perturbed(&model, noise, seed)));
    assert_eq!(none, logits(&model));
    assert_ne!(one, none);
    assert_eq!(one, again);
    assert_ne!(one, other);
    // Only what is trained gets any.
    let adapted = model.with_adapter(&lora(), "one", 1).unwrap();
    let noisy = perturbed(&adapted, 0.1, 1);
    assert!(stored(&noisy) != stored(&adapted));
    let without = |model: &LanguageModel| {
        let dir = tempfile::tempdir().unwrap();
        adapted.save(dir.path()).unwrap();
        stored(&model.restored(dir.path()).unwrap().merged())
    };
    assert!(without(&noisy) == without(&adapted), "the frozen base has changed");
}
