//! What each rule takes away.

use serde::{Deserialize, Serialize};

use crate::automaton::argmax;
use crate::{Allowed, Automaton, Codec, Rule, Rules, State};

/// What one rule took away, beyond the rules before it in [`Rule::TABLE`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleAudit {
    pub rule: String,
    /// Steps at which it removed any token.
    pub fired: u64,
    /// Steps at which it removed the token that free decoding would have taken.
    pub argmax_removed: u64,
    /// Probability mass removed, summed over the steps.
    pub mass_removed: f64,
}

/// What the mask took away, rule by rule. Masses add up to what the whole mask removed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MaskAudit {
    /// Steps looked at.
    pub steps: u64,
    pub rules: Vec<RuleAudit>,
}

impl MaskAudit {
    /// Adds the counts of another audit of the same rules; rules that only one of them has are kept.
    pub fn merge(&mut self, other: &Self) {
        self.steps += other.steps;
        for theirs in &other.rules {
            match self.rules.iter_mut().find(|ours| ours.rule == theirs.rule) {
                Some(ours) => {
                    ours.fired += theirs.fired;
                    ours.argmax_removed += theirs.argmax_removed;
                    ours.mass_removed += theirs.mass_removed;
                }
                None => self.rules.push(theirs.clone()),
            }
        }
    }
}

/// One sentence's walk with an eye on every rule. For each rule there is an automaton of the rules up to it, and all of
/// them follow the tokens that were really written.
#[derive(Debug)]
pub struct AuditWalk {
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    rule: Rule,
    automaton: Automaton,
    /// `None` once what was written is outside this stage's rules.
    state: Option<State>,
}

impl Codec {
    /// Starts an audit of the rules on one sentence; arguments as for [`Codec::automaton_for`]. The authors' code is
    /// audited as the rules that it means to follow.
    pub fn audit(&self, text: &str, tokens: &[u32], rules: &Rules) -> AuditWalk {
        let inside_words = rules.contains(Rule::Span) && !rules.contains(Rule::WordBoundary);
        let mut upto = rules.emptied();
        let stages = rules.iter().map(|rule| {
            upto = upto.with(rule);
            let inside_words = inside_words || rule == Rule::Span;
            let automaton = self.automaton_with(text, tokens, &upto, inside_words);
            Stage { rule, state: Some(automaton.start()), automaton }
        });
        AuditWalk { stages: stages.collect() }
    }
}

impl AuditWalk {
    /// Books one step. `probabilities` are the free model's over the whole vocabulary.
    pub fn observe(&self, probabilities: &[f32], audit: &mut MaskAudit) {
        let Some(best) = argmax(probabilities) else { return };
        let total: f64 = probabilities.iter().map(|&p| f64::from(p)).sum();
        let mass = |tokens: &[u32]| -> f64 {
            tokens.iter().filter_map(|&t| probabilities.get(t as usize)).map(|&p| f64::from(p)).sum()
        };
        let mut left = Left { only: None, except: Vec::new() };
        let mut before = (probabilities.len(), total, true);
        let mut scratch = Vec::new();
        audit.steps += 1;
        for stage in &self.stages {
            if let Some(state) = &stage.state {
                left.keep(stage.automaton.allowed(state, &mut scratch));
            }
            let after = match &left.only {
                Some(only) => (only.len(), mass(only), only.binary_search(&best).is_ok()),
                None => (
                    probabilities.len() - left.except.len().min(probabilities.len()),
                    total - mass(&left.except),
                    left.except.binary_search(&best).is_err(),
                ),
            };
            let name = stage.rule.name();
            let at = audit.rules.iter().position(|r| r.rule == name).unwrap_or_else(|| {
                audit.rules.push(RuleAudit { rule: name.to_owned(), ..RuleAudit::default() });
                audit.rules.len() - 1
            });
            let row = &mut audit.rules[at];
            row.fired += u64::from(after.0 < before.0);
            row.argmax_removed += u64::from(before.2 && !after.2);
            row.mass_removed += (before.1 - after.1).max(0.0);
            before = after;
        }
    }

    /// Follows a token that was written.
    pub fn advance(&mut self, token: u32) {
        for stage in &mut self.stages {
            if let Some(state) = &mut stage.state
                && stage.automaton.advance(state, token).is_err()
            {
                stage.state = None;
            }
        }
    }
}

/// The tokens that all stages so far allow.
struct Left {
    only: Option<Vec<u32>>,
    /// While `only` is none.
    except: Vec<u32>,
}

impl Left {
    fn keep(&mut self, allowed: Allowed<'_>) {
        match (&mut self.only, allowed) {
            (_, Allowed::Any) => {}
            (Some(only), allowed) => only.retain(|&t| allowed.contains(t)),
            (None, Allowed::Only(tokens)) => {
                let excluded = |t: &u32| self.except.binary_search(t).is_ok();
                self.only = Some(tokens.iter().copied().filter(|t| !excluded(t)).collect());
            }
            (None, Allowed::Except(tokens)) => {
                self.except.extend_from_slice(tokens);
                self.except.sort_unstable();
                self.except.dedup();
            }
        }
    }
}
