//! `removed` and `import` blocks. Both name one address, so that they are for two runs.

use super::identifier;
use crate::control::restored::{Adopted, AdoptedKind};

/// Blocks that have Terraform (1.7 or later) forget the originals without destroying them.
pub(super) fn removed(adopted: &[Adopted]) -> String {
    let blocks = adopted.iter().map(|one| {
        format!(
            "\n# Store {}: the {} {}. Put the address that your configuration has for it; its resource block goes.\n\
             removed {{\n  from = {}\n\n  lifecycle {{\n    destroy = false\n  }}\n}}\n",
            one.store,
            one.kind.word(),
            one.original,
            address(one)
        )
    });
    let head = "# First run: the originals are forgotten. The plan must say: 0 to destroy.\n";
    std::iter::once(head.to_owned()).chain(blocks).collect()
}

/// Blocks that have Terraform (1.5 or later) adopt the copies at the addresses of the originals.
pub(super) fn import(adopted: &[Adopted]) -> String {
    let blocks = adopted.iter().flat_map(|one| {
        let renamed = match one.is_renamed {
            true => format!(", once it is renamed to {}", one.original),
            false => ", whose new name the resource block must have".to_owned(),
        };
        let own = format!(
            "\n# Store {}: the {} {}{renamed}.\n{}",
            one.store,
            one.kind.word(),
            one.name,
            block(&address(one), one.final_name())
        );
        let instances = one.instances.iter().map(|name| {
            let address = format!("aws_rds_cluster_instance.{}", identifier(name));
            format!(
                "\n# Store {}: an instance of that cluster. Its own address is yours.\n{}",
                one.store,
                block(&address, name)
            )
        });
        std::iter::once(own).chain(instances).collect::<Vec<_>>()
    });
    let head = "# Second run: the copies are adopted. The plan must say: 0 to destroy, and replace nothing.\n";
    std::iter::once(head.to_owned()).chain(blocks).collect()
}

fn block(address: &str, id: &str) -> String {
    format!("import {{\n  to = {address}\n  id = \"{}\"\n}}\n", escaped(id))
}

fn address(one: &Adopted) -> String {
    let kind = match one.kind {
        AdoptedKind::Table => "aws_dynamodb_table",
        AdoptedKind::Bucket => "aws_s3_bucket",
        AdoptedKind::Instance => "aws_db_instance",
        AdoptedKind::Cluster => "aws_rds_cluster",
    };
    format!("{kind}.{}", identifier(&one.original))
}

/// Text between quotes of HCL, in which `${` and `%{` would begin a template.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "$${").replace("%{", "%%{")
}
