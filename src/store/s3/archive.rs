//! Objects whose bodies are archived: they block until they are restored, by the very command that is named.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::StorageClass;

/// Days that a restored copy is asked to stay: longer than a failback takes.
const RESTORED_DAYS: u32 = 14;

/// The place of an object that may be archived.
pub(super) struct Archived<'a> {
    pub bucket: &'a str,
    pub full_key: &'a str,
    pub version_id: Option<&'a str>,
    pub region: &'a str,
}

impl Archived<'_> {
    /// Why the body cannot be read, with what to type, when it is archived and not restored.
    pub fn hold(&self, head: &HeadObjectOutput) -> Option<String> {
        let is_glacier = matches!(head.storage_class(), Some(StorageClass::Glacier | StorageClass::DeepArchive));
        if !is_glacier && head.archive_status().is_none() {
            return None;
        }
        let restore = head.restore().unwrap_or_default();
        if restore.contains("ongoing-request=\"false\"") {
            return None;
        }
        let class = match (head.archive_status(), head.storage_class()) {
            (Some(status), _) => status.as_str(),
            (None, Some(class)) => class.as_str(),
            (None, None) => "archived",
        };
        if restore.contains("ongoing-request=\"true\"") {
            return Some(format!(
                "its body is archived ({class}) and being restored: wait for it, then run this again"
            ));
        }
        Some(format!("its body is archived ({class}); restore it: {}", self.command(is_glacier)))
    }

    /// The command that restores it; `is_glacier` where its class is one of those that are restored for some days.
    pub fn command(&self, is_glacier: bool) -> String {
        // Intelligent-Tiering takes no number of days: the object itself moves back.
        let tier = "GlacierJobParameters={Tier=Standard}";
        let request = if is_glacier { format!("Days={RESTORED_DAYS},{tier}") } else { tier.to_owned() };
        let version = self.version_id.filter(|version| *version != "null");
        let version = version.map(|version| format!(" --version-id {version}")).unwrap_or_default();
        format!(
            "aws s3api restore-object --region {} --bucket {} --key {}{version} --restore-request '{request}'",
            self.region,
            self.bucket,
            quoted(self.full_key)
        )
    }
}

/// A key as a shell takes it, in double quotes, by which reports find it where keys are masked.
fn quoted(key: &str) -> String {
    let mut text = String::from("\"");
    let has_controls = key.contains(char::is_control);
    if has_controls {
        text.push_str("$(printf '%b' '");
    }
    for character in key.chars() {
        match character {
            c if has_controls => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| text.push_str(&format!("\\0{byte:o}")));
            }
            c @ ('"' | '\\' | '$' | '`') => text.extend(['\\', c]),
            c => text.push(c),
        }
    }
    text.push_str(if has_controls { "')\"" } else { "\"" });
    text
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::ArchiveStatus;

    use super::*;

    fn hold(head: HeadObjectOutput, key: &str) -> Option<String> {
        let place = Archived { bucket: "media", full_key: key, version_id: Some("v1"), region: "us-west-2" };
        place.hold(&head)
    }

    #[test]
    fn an_archived_object_comes_with_the_command_that_restores_it() {
        let head = || HeadObjectOutput::builder().storage_class(StorageClass::DeepArchive);
        assert_eq!(
            hold(head().build(), "a b/$x").as_deref(),
            Some(
                "its body is archived (DEEP_ARCHIVE); restore it: aws s3api restore-object --region us-west-2 \
                 --bucket media --key \"a b/\\$x\" --version-id v1 --restore-request \
                 'Days=14,GlacierJobParameters={Tier=Standard}'"
            )
        );
        let ongoing = hold(head().restore("ongoing-request=\"true\"").build(), "k");
        assert!(ongoing.is_some_and(|why| why.contains("being restored")));
        assert_eq!(hold(head().restore("ongoing-request=\"false\", expiry-date=\"x\"").build(), "k"), None);
        assert_eq!(hold(HeadObjectOutput::builder().storage_class(StorageClass::GlacierIr).build(), "k"), None);
    }

    #[test]
    fn an_archive_tier_takes_no_days() {
        let head = HeadObjectOutput::builder().storage_class(StorageClass::IntelligentTiering);
        assert_eq!(hold(head.clone().build(), "k"), None);
        let why = hold(head.archive_status(ArchiveStatus::DeepArchiveAccess).build(), "k").expect("archived");
        assert!(why.contains("(DEEP_ARCHIVE_ACCESS)") && !why.contains("Days="), "{why}");
    }

    #[test]
    fn a_shell_reads_the_key_as_it_is() {
        for key in ["plain", "a b", "$HOME `x` \"q\" \\", "tab\tand\nline", "日本'语"] {
            let script = format!("printf %s {}", quoted(key));
            let output = std::process::Command::new("bash").args(["-c", &script]).output().expect("bash runs");
            assert_eq!(String::from_utf8_lossy(&output.stdout), key);
        }
    }
}
