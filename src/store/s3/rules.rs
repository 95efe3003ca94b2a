//! Rules of a bucket that would fight a replay, and the commands that suspend them.
//!
//! Nothing is suspended here: a rule is somebody's, and what it did meanwhile must be made up for by somebody.

use aws_sdk_s3::operation::get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationOutput;
use aws_sdk_s3::operation::get_bucket_notification_configuration::GetBucketNotificationConfigurationOutput;
use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule, ReplicationRule, ReplicationRuleStatus};

use super::S3Store;
use super::check::{Setting, setting};
use crate::model::Side;
use crate::store::{Finding, Level, StoreError};

impl S3Store {
    /// Everything that reacts to writes, or writes by itself.
    pub(super) async fn rule_findings(&self, subject: &str) -> Vec<Finding> {
        let found = [
            self.replication_finding(subject).await,
            self.lifecycle_finding(subject).await,
            self.notification_finding(subject).await,
            self.retention_finding(subject).await,
            self.uploads_finding(subject).await,
        ];
        found.into_iter().flatten().collect()
    }

    /// A command of the AWS command line on this bucket.
    fn command(&self, words: &str) -> String {
        let endpoint = crate::store::aws::endpoint(&self.reached, "s3");
        let endpoint = endpoint.map(|url| format!(" --endpoint-url {url}")).unwrap_or_default();
        format!("aws s3api {words} --bucket {} --region {}{endpoint}", self.bucket, self.reached.region)
    }

    /// How a configuration is kept, taken away and brought back.
    fn suspension(&self, name: &str, root: &str, remove: &str) -> String {
        let file = format!("{}-{name}.json", self.bucket);
        let query = if root.is_empty() { String::new() } else { format!(" --query {root}") };
        let keep = self.command(&format!("get-bucket-{name}{query}"));
        let back =
            self.command(&format!("put-bucket-{name} --{root_option} file://{file}", root_option = option(name)));
        format!("keep it: {keep} > {file}; suspend it: {}; bring it back afterwards: {back}", self.command(remove))
    }

    async fn replication_finding(&self, subject: &str) -> Option<Finding> {
        match self.replication_rules().await {
            Setting::Unset => None,
            Setting::Set(rules) if rules.is_empty() => None,
            Setting::Set(rules) => {
                let hint = self.suspension("replication", "ReplicationConfiguration", "delete-bucket-replication");
                Some(Finding::new(Level::Warning, subject, self.replication_words(&rules)).with_hint(hint))
            }
            Setting::Unknown(error) => Some(unknown(subject, &error)),
        }
    }

    fn replication_words(&self, rules: &[ReplicationRule]) -> String {
        let targets = rules.iter().filter_map(|rule| rule.destination());
        let mut targets: Vec<&str> =
            targets.map(|target| target.bucket().rsplit(":::").next().unwrap_or_default()).collect();
        targets.sort_unstable();
        targets.dedup();
        let (bucket, count) = (&self.bucket, rules.len());
        let is_back = self.counterpart.as_deref().is_some_and(|other| targets.contains(&other));
        let to = targets.join(", ");
        let what = format!("bucket {bucket} has {count} replication rules enabled, to {to}");
        match (is_back, self.side) {
            (true, Side::Primary) => format!("{what}: what is replayed is replicated back to dr, over what dr holds"),
            (true, _) => format!("{what}: what dr writes is replicated to the primary while the failback runs"),
            (false, Side::Primary) => format!("{what}: what is replayed is replicated there"),
            (false, _) => what,
        }
    }

    /// The enabled rules.
    pub(super) async fn replication_rules(&self) -> Setting<Vec<ReplicationRule>> {
        let reply = self.client.get_bucket_replication().bucket(&self.bucket).send().await;
        match setting("cannot ask for replication", reply) {
            Setting::Set(reply) => {
                let rules = reply.replication_configuration.map(|config| config.rules).unwrap_or_default();
                let is_enabled = |rule: &ReplicationRule| *rule.status() == ReplicationRuleStatus::Enabled;
                Setting::Set(rules.into_iter().filter(is_enabled).collect())
            }
            Setting::Unset => Setting::Unset,
            Setting::Unknown(error) => Setting::Unknown(error),
        }
    }

    async fn lifecycle_finding(&self, subject: &str) -> Option<Finding> {
        let reply = self.client.get_bucket_lifecycle_configuration().bucket(&self.bucket).send().await;
        match setting("cannot ask for lifecycle rules", reply) {
            Setting::Set(reply) => {
                let what = lifecycle_words(&reply)?;
                let hint = self.suspension("lifecycle-configuration", "", "delete-bucket-lifecycle");
                let what = format!("bucket {} has lifecycle rules that {what} while the failback runs", self.bucket);
                Some(Finding::new(Level::Warning, subject, what).with_hint(hint))
            }
            Setting::Unset => None,
            Setting::Unknown(error) => Some(unknown(subject, &error)),
        }
    }

    async fn notification_finding(&self, subject: &str) -> Option<Finding> {
        // Nothing is written to dr.
        if self.side != Side::Primary {
            return None;
        }
        let reply = self.client.get_bucket_notification_configuration().bucket(&self.bucket).send().await;
        match setting("cannot ask for notifications", reply) {
            Setting::Set(reply) => {
                let to = notification_words(&reply)?;
                let remove = "put-bucket-notification-configuration --notification-configuration '{}'";
                let hint = self.suspension("notification-configuration", "", remove);
                let what = format!("bucket {} sends its events to {to}: every object replayed is one", self.bucket);
                Some(Finding::new(Level::Warning, subject, what).with_hint(hint))
            }
            Setting::Unset => None,
            Setting::Unknown(error) => Some(unknown(subject, &error)),
        }
    }

    async fn retention_finding(&self, subject: &str) -> Option<Finding> {
        if self.side != Side::Primary {
            return None;
        }
        let reply = self.client.get_object_lock_configuration().bucket(&self.bucket).send().await;
        match setting("cannot ask for object lock", reply) {
            Setting::Set(reply) => {
                let retention = reply.object_lock_configuration()?.rule()?.default_retention()?;
                let mode = retention.mode().map_or("retention", |mode| mode.as_str());
                let days = retention.days().map(|days| format!("{days} days"));
                let span = days.or(retention.years().map(|years| format!("{years} years"))).unwrap_or_default();
                let what = format!(
                    "bucket {} locks every new object by default ({mode}, {span}): what is replayed cannot be removed \
                     for good until then, by an undo either",
                    self.bucket
                );
                let off =
                    "put-object-lock-configuration --object-lock-configuration '{\"ObjectLockEnabled\":\"Enabled\"}'";
                let hint = format!("suspend it for new objects: {}", self.command(off));
                Some(Finding::new(Level::Warning, subject, what).with_hint(hint))
            }
            Setting::Unset | Setting::Unknown(_) => None,
        }
    }

    /// Uploads in parts that somebody began and did not end; they cost money and are no objects.
    async fn uploads_finding(&self, subject: &str) -> Option<Finding> {
        let request = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(&self.prefix);
        let reply = request.send().await.ok()?;
        let count = reply.uploads().len();
        let more = if reply.is_truncated() == Some(true) { " or more" } else { "" };
        (count > 0).then(|| {
            let what = format!("bucket {} has {count}{more} unfinished uploads in parts", self.bucket);
            let hint = format!(
                "nothing of them is compared or replayed; look at them: {}",
                self.command("list-multipart-uploads")
            );
            Finding::new(Level::Note, subject, what).with_hint(hint)
        })
    }
}

/// The option that a configuration is given with.
fn option(name: &str) -> &str {
    if name == "replication" { "replication-configuration" } else { name }
}

fn unknown(subject: &str, error: &StoreError) -> Finding {
    Finding::new(Level::Warning, subject, format!("{error:?}"))
}

/// What enabled lifecycle rules do; `None` where they do nothing to objects.
fn lifecycle_words(reply: &GetBucketLifecycleConfigurationOutput) -> Option<String> {
    let enabled: Vec<&LifecycleRule> =
        reply.rules().iter().filter(|rule| *rule.status() == ExpirationStatus::Enabled).collect();
    let any = |does: fn(&LifecycleRule) -> bool| enabled.iter().any(|rule| does(rule));
    let expires = |rule: &LifecycleRule| {
        rule.expiration().is_some_and(|expiration| expiration.days().is_some() || expiration.date().is_some())
    };
    let effects = [
        (any(expires), "expire objects"),
        (any(|rule| !rule.transitions().is_empty()), "move objects to other storage classes"),
        (
            any(|rule| rule.noncurrent_version_expiration().is_some()),
            "remove prior versions, which an undo and the base need,",
        ),
        (any(|rule| !rule.noncurrent_version_transitions().is_empty()), "archive prior versions"),
    ];
    let effects: Vec<&str> = effects.into_iter().filter_map(|(is_so, words)| is_so.then_some(words)).collect();
    (!effects.is_empty()).then(|| effects.join(" and "))
}

/// Where events go; `None` where they go nowhere.
fn notification_words(reply: &GetBucketNotificationConfigurationOutput) -> Option<String> {
    let counted = [
        (reply.lambda_function_configurations().len(), "functions"),
        (reply.queue_configurations().len(), "queues"),
        (reply.topic_configurations().len(), "topics"),
    ];
    let counted = counted.into_iter().filter(|(count, _)| *count > 0).map(|(count, of)| format!("{count} {of}"));
    let bus = reply.event_bridge_configuration().map(|_| "EventBridge".to_owned());
    let targets: Vec<String> = counted.chain(bus).collect();
    (!targets.is_empty()).then(|| targets.join(", "))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::{EventBridgeConfiguration, LifecycleExpiration, NoncurrentVersionExpiration, Transition};

    use super::*;

    fn rule(status: ExpirationStatus) -> aws_sdk_s3::types::builders::LifecycleRuleBuilder {
        LifecycleRule::builder().status(status)
    }

    fn told(rules: Vec<LifecycleRule>) -> Option<String> {
        lifecycle_words(&GetBucketLifecycleConfigurationOutput::builder().set_rules(Some(rules)).build())
    }

    #[test]
    fn lifecycle_rules_are_told_by_what_they_do() {
        let expiring = |status| rule(status).expiration(LifecycleExpiration::builder().days(30).build());
        assert_eq!(told(vec![expiring(ExpirationStatus::Disabled).build().expect("a rule")]), None);
        let markers = LifecycleExpiration::builder().expired_object_delete_marker(true).build();
        assert_eq!(told(vec![rule(ExpirationStatus::Enabled).expiration(markers).build().expect("a rule")]), None);
        let noncurrent = NoncurrentVersionExpiration::builder().noncurrent_days(7).build();
        let all = expiring(ExpirationStatus::Enabled).noncurrent_version_expiration(noncurrent);
        let all = all.transitions(Transition::builder().days(1).build()).build().expect("a rule");
        let words = told(vec![all]).expect("told");
        assert!(words.starts_with("expire objects and move objects") && words.contains("an undo"), "{words}");
    }

    #[test]
    fn events_are_told_by_where_they_go() {
        let none = GetBucketNotificationConfigurationOutput::builder();
        assert_eq!(notification_words(&none.clone().build()), None);
        let bus = none.event_bridge_configuration(EventBridgeConfiguration::builder().build()).build();
        assert_eq!(notification_words(&bus).as_deref(), Some("EventBridge"));
    }
}
