use std::collections::BTreeMap;

use crate::define::{choices, settings};

choices! {
    /// Where stages run.
    pub enum ExecutorKind {
        /// On this machine.
        Local = "local",
        /// Through Slurm.
        Slurm = "slurm",
    }

    /// Whether Slurm's accounting (`sacct`) is asked.
    pub enum Accounting {
        /// Where it answers.
        Auto = "auto",
        /// Never.
        Never = "never",
    }
}

settings! {
    /// Where stages run. Never part of a stage's identity.
    pub struct Executor {
        /// `local` or `slurm`.
        kind: ExecutorKind = ExecutorKind::Local, [.inert()];
        /// Store folder; it must be seen by every node.
        store: Option<String> = None, [.inert()];
        /// Stages that run at the same time on this machine.
        workers: Option<usize> = None, [.inert()];
        /// Slurm's settings.
        slurm: Slurm = Slurm::default(), [.inert()];
    }

    /// How stages are submitted to Slurm.
    pub struct Slurm {
        /// Partition.
        partition: Option<String> = None, [.inert()];
        /// Account to charge.
        account: Option<String> = None, [.inert()];
        /// Quality of service.
        qos: Option<String> = None, [.inert()];
        /// Tasks of an array that run at the same time.
        max_running: usize = 16, [.range(1.0, 1_000_000.0).inert()];
        /// Largest array that is submitted.
        max_array: usize = 1000, [.range(1.0, 10_000_000.0).inert()];
        /// Submissions per second, at most.
        submit_per_second: f64 = 1.0, [.range(0.001, 1000.0).inert()];
        /// Seconds between two looks at the queue.
        poll_seconds: f64 = 30.0, [.range(0.1, 86_400.0).inert()];
        /// Let Slurm queue a task again after pre-emption or a node's failure.
        requeue: bool = true, [.inert()];
        /// Restarts of one task, at most.
        max_restarts: usize = 5, [.inert()];
        /// Seconds before the time limit at which a stage is asked to write a checkpoint.
        signal_seconds: usize = 300, [.range(1.0, 65_535.0).inert()];
        /// Whether accounting is asked.
        accounting: Accounting = Accounting::Auto, [.inert()];
        /// Shell lines before the stage, such as `module load …`.
        prologue: Vec<String> = Vec::new(), [.inert()];
        /// Environment of the stage.
        env: BTreeMap<String, String> = BTreeMap::new(), [.inert()];
        /// Further options for `sbatch`.
        extra: Vec<String> = Vec::new(), [.inert()];
        /// Resources per stage kind (`tokenizer`, `corpus`, `pretrain`, `coarse`, `fine`, `generate`, `score`).
        stage: BTreeMap<String, SlurmStage> = BTreeMap::new(), [.inert()];
    }

    /// What one kind of stage asks Slurm for.
    pub struct SlurmStage {
        /// Time limit, `hours:minutes:seconds`. Required where the stage kind is submitted.
        time: Option<String> = None, [.inert()];
        /// GPUs.
        gpus: usize = 0, [.inert()];
        /// CPU cores.
        cpus: usize = 1, [.inert()];
        /// Memory, as Slurm writes it.
        mem: Option<String> = None, [.inert()];
    }
}
