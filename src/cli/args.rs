//! The arguments: a contract that scripts depend on.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::model::{Change, Verdict};
use crate::session::PaceState;

/// Brings an AWS system home after a regional disaster.
#[derive(Debug, Parser)]
#[command(name = "failback", version, about, long_about = LONG_ABOUT, after_help = EXIT_CODES)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
}

const LONG_ABOUT: &str = "Brings an AWS system home after a regional disaster: compares both Regions with the last state \
they had in common, replays what DR did into the original resources, proves parity, and returns customers in stages.\n\n\
The usual order: check, plan, replay --apply (repeat plan and replay until little is left), replay --apply --freeze, \
verify, cutover.";

const EXIT_CODES: &str = "Exit codes: 0 done or at parity; 1 differs; 2 bad usage or profile; 3 a person must decide; \
4 incomplete (never counts as parity); 5 interrupted, run it again.";

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The session's folder [default: .failback/<profile name>]
    #[arg(long, global = true, value_name = "DIR")]
    pub session: Option<PathBuf>,
    /// Only this store (repeatable)
    #[arg(long = "store", global = true, value_name = "NAME")]
    pub stores: Vec<String>,
    /// Print one JSON document on stdout at the end
    #[arg(long, global = true)]
    pub json: bool,
    /// Do not ask
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
    /// Tell more (repeatable)
    #[arg(long, short = 'v', global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Tell only errors
    #[arg(long, short = 'q', global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a profile of what two Regions hold
    Init(InitArguments),
    /// Preflight: identities, reachability, schemas, versioning, weights
    Check {
        /// The profile
        profile: PathBuf,
    },
    /// Read both sides and classify every difference; changes nothing
    Diff {
        /// The profile
        profile: PathBuf,
        /// A quick look at so much of every store, such as 5%: says how surely, and never that the sides are the same
        #[arg(long, value_name = "PERCENT", value_parser = percent_of)]
        sample: Option<f64>,
    },
    /// Diff and policy to the session's immutable plan
    Plan {
        /// The profile
        profile: PathBuf,
        /// Read everything, also where a change log tells what was touched since the last comparison
        #[arg(long)]
        rescan: bool,
        /// What is allowed beyond the limits
        #[command(flatten)]
        allow: Allow,
        /// Decisions on held items: NDJSON of {"store", "key", "decision": "dr"|"primary"}
        #[arg(long, value_name = "FILE")]
        decisions: Option<PathBuf>,
    },
    /// Decide held items of the newest plan; the next plan does what was decided
    Decide {
        /// The profile
        profile: PathBuf,
        /// What is decided on, and how
        #[command(flatten)]
        options: DecideOptions,
    },
    /// Carry out the plan: a dry run, or with --apply guarded and journalled writes
    Replay {
        /// The profile
        profile: PathBuf,
        /// Write
        #[arg(long)]
        apply: bool,
        /// The final pass: stop writers in DR first, prove it, plan anew and replay
        #[arg(long, requires = "apply")]
        freeze: bool,
        /// What is allowed beyond the limits, for --freeze
        #[command(flatten)]
        allow: Allow,
        /// Decisions on held items, for the plan of --freeze: as those of plan
        #[arg(long, value_name = "FILE", requires = "freeze")]
        decisions: Option<PathBuf>,
    },
    /// Read both sides anew and issue the parity certificate, or say why not
    Verify {
        /// The profile
        profile: PathBuf,
        /// Stop writers in DR first
        #[arg(long)]
        freeze: bool,
        /// Prove instead that the primary is what it was before the replay
        #[arg(long, conflicts_with = "freeze")]
        undone: bool,
    },
    /// Return customers in stages; refuses without a fresh certificate
    Cutover {
        /// The profile
        profile: PathBuf,
        /// The certificate [default: the session's]
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        /// Give all traffic back to DR
        #[arg(long, conflicts_with = "certificate")]
        retreat: bool,
    },
    /// Lead the whole session: check to cutover, stopping where a person must decide
    Run {
        /// The profile
        profile: PathBuf,
        /// Without a screen, for scripts; needs --yes
        #[arg(long)]
        headless: bool,
        /// Look on at a session that somebody else leads, read-only
        #[arg(long, conflicts_with_all = ["headless", "decisions", "yes"])]
        watch: bool,
        /// What is allowed beyond the limits
        #[command(flatten)]
        allow: Allow,
        /// Decisions on held items: NDJSON of {"store", "key", "decision": "dr"|"primary"}
        #[arg(long, value_name = "FILE")]
        decisions: Option<PathBuf>,
    },
    /// Tell or change how fast the command goes that is at work on the session
    Pace {
        /// The profile
        profile: PathBuf,
        /// slower, faster, pause, resume, or a share of the profile's limits such as 50%
        #[arg(value_parser = pace_of)]
        pace: Option<PaceWord>,
    },
    /// Restore the primary's prior images, guarded by the after-images
    Undo {
        /// The profile
        profile: PathBuf,
    },
    /// Report on the session at any stage
    Report {
        /// The profile
        profile: PathBuf,
        /// What is written, where and how
        #[command(flatten)]
        options: ReportOptions,
    },
    /// Keep manifests of both sides while they are in step: the base of a later failback
    Checkpoint {
        /// The profile
        profile: PathBuf,
        /// Its name, or a path
        #[arg(long, required_unless_present = "rescue")]
        name: Option<String>,
        /// After a disaster: export what can still become a base of the DynamoDB tables, before it expires
        #[command(flatten)]
        rescue: Rescue,
    },
    /// Check a certificate by itself
    Certificate {
        /// The certificate
        file: PathBuf,
        /// Recompute its roots from the manifests in this folder
        #[arg(long, value_name = "DIR")]
        manifest: Option<PathBuf>,
    },
    /// The whole job on two simulated Regions
    Drill(DrillArguments),
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Options of a checkpoint that saves bases.
#[derive(Debug, Clone, Args)]
pub struct Rescue {
    /// After a disaster: start the exports that save the bases of DynamoDB tables, or go on with those started
    #[arg(long, conflicts_with = "name")]
    pub rescue: bool,
    /// Where exports go, in place of the profile's [rescue]
    #[arg(long, value_name = "S3-URL", requires = "rescue", value_parser = s3_folder)]
    pub to: Option<String>,
    /// Wait until all exports have ended
    #[arg(long, requires = "rescue")]
    pub wait: bool,
}

/// `s3://bucket` or `s3://bucket/prefix`.
fn s3_folder(url: &str) -> Result<String, String> {
    let bucket = url.strip_prefix("s3://").map(|rest| rest.split('/').next().unwrap_or_default());
    match bucket {
        Some(bucket) if !bucket.is_empty() => Ok(url.to_owned()),
        _ => Err("write s3://bucket or s3://bucket/prefix".to_owned()),
    }
}

/// Options of init.
#[derive(Debug, Clone, Args)]
pub struct InitArguments {
    /// The Region that everything returns to
    #[arg(long, value_name = "REGION", required_unless_present = "schema")]
    pub primary: Option<String>,
    /// The recovery Region
    #[arg(long, value_name = "REGION", required_unless_present = "schema")]
    pub dr: Option<String>,
    /// The profile's name
    #[arg(long, default_value = "system")]
    pub name: String,
    /// Write to this file; one that is there is only replaced with --yes
    #[arg(long, short = 'o', value_name = "FILE", default_value = "failback.toml")]
    pub output: PathBuf,
    /// The primary's profile in the AWS configuration files
    #[arg(long, value_name = "NAME")]
    pub primary_profile: Option<String>,
    /// dr's profile in the AWS configuration files
    #[arg(long, value_name = "NAME")]
    pub dr_profile: Option<String>,
    /// A role to assume for the primary
    #[arg(long, value_name = "ARN")]
    pub primary_role_arn: Option<String>,
    /// A role to assume for dr
    #[arg(long, value_name = "ARN")]
    pub dr_role_arn: Option<String>,
    /// An endpoint for every service of both sides, for test servers
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// Only tables, buckets and databases of such names, with * and ? (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// No tables, buckets and databases of such names (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Print the profile's JSON schema, for editors, and do nothing else
    #[arg(long)]
    pub schema: bool,
}

/// What an operator allows beyond the limits.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Allow {
    /// Allow more deletes than the limit
    #[arg(long = "allow-deletes")]
    pub deletes: bool,
    /// Allow more overwrites than the limit
    #[arg(long = "allow-overwrites")]
    pub overwrites: bool,
    /// Allow following an empty DR
    #[arg(long = "allow-empty-dr")]
    pub empty_dr: bool,
    /// Allow a plan that touches every item
    #[arg(long = "allow-everything")]
    pub everything: bool,
    /// Accept a base that is older than what DR had, or of unknown age
    #[arg(long = "accept-base-age")]
    pub base_age: bool,
}

/// What is decided on held items, and how.
#[derive(Debug, Clone, Args)]
#[group(id = "act", required = true, multiple = false, args = ["choice", "list", "take_back"])]
pub struct DecideOptions {
    /// dr: its contents go to the primary; primary: its contents stay; both: as dr, and both sides' contents are kept in a
    /// file for the business
    #[arg(long, value_enum)]
    pub choice: Option<ChoiceWord>,
    /// List the decisions and allowances of the session
    #[arg(long)]
    pub list: bool,
    /// Take back a decision that was not replayed yet
    #[arg(long, value_name = "NUMBER")]
    pub take_back: Option<i64>,
    /// The item with this key, as JSON in held.ndjson (repeatable; --store says of which store)
    #[arg(long = "key", value_name = "JSON", requires = "choice", conflicts_with_all = ["file", "all", "Rule"])]
    pub keys: Vec<String>,
    /// The items of a file, NDJSON of {"store", "key"}: lines of held.ndjson will do
    #[arg(long, value_name = "FILE", requires = "choice", conflicts_with_all = ["all", "Rule"])]
    pub file: Option<PathBuf>,
    /// All held items
    #[arg(long, requires = "choice", conflicts_with = "Rule")]
    pub all: bool,
    /// The held items that fit
    #[command(flatten)]
    pub rule: RuleOptions,
    /// Who decides [default: the user and machine that run this]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// A rule that picks held items.
#[derive(Debug, Clone, Args)]
#[group(id = "Rule", multiple = true, requires = "choice")]
pub struct RuleOptions {
    /// The held items with this verdict
    #[arg(long, value_name = "VERDICT", value_parser = words_of(Verdict::ALL.map(Verdict::word)))]
    pub verdict: Option<String>,
    /// The held items with this change
    #[arg(long, value_name = "CHANGE", value_parser = words_of(Change::ALL.map(Change::word)))]
    pub change: Option<String>,
    /// The held items with this text in the key's JSON
    #[arg(long, value_name = "TEXT")]
    pub containing: Option<String>,
}

/// A share in percent, with or without its sign.
fn percent_of(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let percent = percent.filter(|percent| *percent > 0.0 && *percent <= 100.0);
    percent.ok_or_else(|| "not a share above 0% and up to 100%".to_owned())
}

/// How fast a command is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaceWord {
    /// One step slower.
    Slower,
    /// One step faster.
    Faster,
    /// Nothing is read or written for now.
    Pause,
    /// What was paused goes on.
    Resume,
    /// So many percent of the profile's limits.
    Percent(u32),
}

fn pace_of(text: &str) -> Result<PaceWord, String> {
    let range = PaceState::PERCENT_RANGE;
    match text {
        "slower" => Ok(PaceWord::Slower),
        "faster" => Ok(PaceWord::Faster),
        "pause" => Ok(PaceWord::Pause),
        "resume" => Ok(PaceWord::Resume),
        text => {
            let percent: Option<u32> = text.strip_suffix('%').and_then(|percent| percent.parse().ok());
            let percent = percent.filter(|percent| range.contains(percent)).map(PaceWord::Percent);
            let (slowest, fastest) = (range.start(), range.end());
            percent.ok_or_else(|| format!("not slower, faster, pause, resume or {slowest}% to {fastest}%"))
        }
    }
}

fn words_of<const N: usize>(words: [&'static str; N]) -> PossibleValuesParser {
    words.into()
}

/// A choice on held items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ChoiceWord {
    /// dr's contents go to the primary
    Dr,
    /// The primary's contents stay: an accepted difference
    Primary,
    /// As dr, and both sides' contents are kept in a file for the business
    Both,
}

/// How a report is written.
#[derive(Debug, Clone, Args)]
pub struct ReportOptions {
    /// The format [default: md]
    #[arg(long, value_enum)]
    pub format: Option<ReportFormat>,
    /// Write to this file instead of stdout
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Show the contents of held, refused and accepted items, as far as the session's journal kept them
    #[arg(long, conflicts_with = "mask_keys")]
    pub show_values: bool,
    /// Replace keys by a short BLAKE3 digest of their JSON text
    #[arg(long)]
    pub mask_keys: bool,
    /// Instead of a report, write files for Terraform and CloudFormation into this folder, by which they adopt what was
    /// restored and takes another resource's place
    #[arg(long, value_name = "DIR", conflicts_with_all = ["format", "output", "show_values", "mask_keys"])]
    pub iac: Option<PathBuf>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportFormat {
    /// One self-contained page, for managers and the archive
    Html,
    /// Markdown, for people
    Md,
    /// JSON, for programs
    Json,
    /// JUnit's XML: every store is a test case, for CI
    Junit,
    /// Every difference on a line, with what became of it
    Csv,
}

/// Options of the drill.
#[derive(Debug, Clone, Args)]
pub struct DrillArguments {
    /// How many items the shop has
    #[arg(long, default_value_t = 1_500)]
    pub items: u64,
    /// The seed: the same seed plants the same disaster
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Leave the sandbox running in this folder, with a ready profile
    #[arg(long, value_name = "DIR", conflicts_with_all = ["in_memory", "stop"])]
    pub keep: Option<PathBuf>,
    /// End a sandbox that was left running
    #[arg(long, value_name = "DIR")]
    pub stop: Option<PathBuf>,
    /// Without a screen, also on a terminal
    #[arg(long)]
    pub headless: bool,
    /// Use the reference stores in memory instead of servers
    #[arg(long)]
    pub in_memory: bool,
    /// Start the sandbox's servers and end them with the parent
    #[arg(long, hide = true, value_name = "DIR")]
    pub supervise: Option<PathBuf>,
    /// With --supervise: outlive the parent
    #[arg(long, hide = true)]
    pub detached: bool,
    /// Stop the sandbox's DR from taking writes
    #[arg(long, hide = true, value_name = "DIR")]
    pub fence: Option<PathBuf>,
    /// Try a write to the sandbox's DR as the application would do it
    #[arg(long, hide = true, value_name = "DIR")]
    pub try_write: Option<PathBuf>,
}
