//! How the primary's health is judged between stages: a URL, a command, or a Route 53 health check.
//!
//! One probe is one answer; how many failures in a row are unhealthy is [`super::next_move`]'s business. Whatever cannot be
//! told is not healthy.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::Command;

use super::command::run_in_group;
use super::dial::Result;
use super::error::{CutoverError, CutoverErrorKind};
use super::route53::Route53;
use crate::model::Clock;
use crate::profile::{HealthProfile, SideProfile};

/// Checkers' observations older than this say nothing of now, in seconds.
const OBSERVATION_AGE_SECONDS_MAX: i64 = 300;

/// Route 53 calls an endpoint healthy when more than this share of its checkers do, in percent.
const CHECKERS_PERCENT: usize = 18;

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// Whether it was found healthy.
    pub ok: bool,
    /// What was found, in words.
    pub detail: String,
}

impl Probed {
    fn failed(detail: impl Into<String>) -> Probed {
        Probed { ok: false, detail: detail.into() }
    }
}

/// Judges the primary's health.
#[async_trait]
pub trait HealthProbe: Send + Sync {
    /// Probes once, within the probe's timeout.
    async fn probe(&self) -> Probed;
}

/// Makes the probe that the profile asks for; `reached` is how Route 53 is reached.
///
/// # Errors
///
/// [`CutoverErrorKind::Probe`] when the profile does not ask for exactly one usable probe.
pub async fn probe_of(
    health: &HealthProfile,
    reached: &SideProfile,
    clock: Arc<dyn Clock>,
) -> Result<Box<dyn HealthProbe>> {
    let timeout = Duration::from_secs(health.timeout_seconds);
    Ok(match (&health.url, &health.command, &health.health_check) {
        (Some(url), None, None) => Box::new(UrlProbe::new(url, timeout)?),
        (None, Some(command), None) => Box::new(CommandProbe::new(command, timeout)?),
        (None, None, Some(id)) => {
            let route53 = Route53::connect(reached).await;
            Box::new(HealthCheckProbe { route53, id: id.clone(), timeout, clock })
        }
        _ => {
            let what = "health needs exactly one of url, command and health_check";
            return Err(CutoverError::new(CutoverErrorKind::Probe, what));
        }
    })
}

/// Healthy when a GET answers with a 2xx status; redirects are not followed.
#[derive(Debug)]
pub struct UrlProbe {
    client: reqwest::Client,
    url: reqwest::Url,
}

impl UrlProbe {
    /// A probe of `url`.
    ///
    /// # Errors
    ///
    /// [`CutoverErrorKind::Probe`] when the URL or this machine's TLS set-up cannot be used.
    pub fn new(url: &str, timeout: Duration) -> Result<UrlProbe> {
        // An error means that one is installed already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let unusable = |error: reqwest::Error| {
            CutoverError::caused(CutoverErrorKind::Probe, "cannot set up the health probe", error.without_url())
        };
        let bad_url =
            |error| CutoverError::caused(CutoverErrorKind::Probe, "the health probe's url is malformed", error);
        let parsed = reqwest::Url::parse(url).map_err(|error| bad_url(error.to_string()))?;
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            // A kept connection would hide a listener that is gone.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(unusable)?;
        Ok(UrlProbe { client, url: parsed })
    }
}

#[async_trait]
impl HealthProbe for UrlProbe {
    async fn probe(&self) -> Probed {
        match self.client.get(self.url.clone()).send().await {
            Ok(reply) => {
                Probed { ok: reply.status().is_success(), detail: format!("status {}", reply.status().as_u16()) }
            }
            Err(error) if error.is_timeout() => Probed::failed("no answer in time"),
            Err(error) => Probed::failed(format!("no answer: {}", error.without_url())),
        }
    }
}

/// Healthy when a command exits 0. It runs in a process group of its own, which is killed when its time is up.
#[derive(Debug)]
pub struct CommandProbe {
    program: String,
    arguments: Vec<String>,
    timeout: Duration,
}

impl CommandProbe {
    /// A probe that runs `command`.
    ///
    /// # Errors
    ///
    /// [`CutoverErrorKind::Probe`] when the command is empty.
    pub fn new(command: &[String], timeout: Duration) -> Result<CommandProbe> {
        let empty = || CutoverError::new(CutoverErrorKind::Probe, "the health command is empty");
        let (program, arguments) = command.split_first().ok_or_else(empty)?;
        Ok(CommandProbe { program: program.clone(), arguments: arguments.to_vec(), timeout })
    }
}

#[async_trait]
impl HealthProbe for CommandProbe {
    async fn probe(&self) -> Probed {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stderr(Stdio::null());
        match run_in_group(command, self.timeout).await {
            Ok(Some(status)) => Probed { ok: status.success(), detail: format!("the health command: {status}") },
            Ok(None) => {
                let seconds = self.timeout.as_secs();
                Probed::failed(format!("the health command hung and was killed after {seconds} s"))
            }
            Err(error) => Probed::failed(format!("the health command cannot be run: {error}")),
        }
    }
}

/// Healthy when enough of a Route 53 health check's checkers lately reported success.
pub struct HealthCheckProbe {
    route53: Route53,
    id: String,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl HealthProbe for HealthCheckProbe {
    async fn probe(&self) -> Probed {
        let observations = match tokio::time::timeout(self.timeout, self.route53.health(&self.id)).await {
            Ok(Ok(observations)) => observations,
            Ok(Err(error)) => return Probed::failed(error.to_string()),
            Err(_) => return Probed::failed("Route 53 does not answer in time"),
        };
        let oldest = self.clock.now().as_second() - OBSERVATION_AGE_SECONDS_MAX;
        let lately: Vec<_> = observations.iter().filter(|seen| seen.checked_at_second >= oldest).collect();
        let healthy = lately.iter().filter(|seen| seen.success).count();
        let ok = healthy * 100 > lately.len() * CHECKERS_PERCENT;
        Probed { ok, detail: format!("{healthy} of {} checkers report success", lately.len()) }
    }
}
