//! Which very database a connection leads to.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::connect::{self, Flavour};
use super::{ask, fault, names};
use crate::store::{ErrorKind, Result};

const SERVER_MARIADB: &str = "SELECT CONCAT(@@server_id, ':', @@datadir), @@hostname, @@port, DATABASE()";
const SERVER_MYSQL: &str = "SELECT @@server_uuid, @@hostname, @@port, DATABASE()";

/// Numbers of tables only ever grow, and a database that is dropped and made again gets new ones. Those of its oldest table
/// stay when rows are written and counters raised; a table that is rebuilt or emptied by TRUNCATE gets a new one.
const OLDEST: &str =
    "SELECT MIN(TABLE_ID) FROM information_schema.INNODB_SYS_TABLES WHERE LEFT(NAME, CHAR_LENGTH(?)) = ?";
const OLDEST_DICTIONARY: &str =
    "SELECT MIN(TABLE_ID) FROM information_schema.INNODB_TABLES WHERE LEFT(NAME, CHAR_LENGTH(?)) = ?";

/// The server, the database, and the generation of the database, where the user may ask for it.
///
/// MariaDB has no id of a server that lasts, so its address and where its data lies stand for it. A restored copy may keep
/// MySQL's id, so the address is part of the identity there too, unless RDS gives one of its own.
pub(super) async fn ask(conn: &mut Conn, rds_id: Option<&str>) -> Result<String> {
    let what = "cannot ask which database this is";
    let (flavour, version) = connect::version(conn).await?;
    let server = match flavour {
        Flavour::MariaDb => SERVER_MARIADB,
        Flavour::MySql => SERVER_MYSQL,
    };
    let (mut server_id, mut address, mut database) = (String::new(), String::new(), String::new());
    for mut row in ask::rows(conn, what, server, ()).await? {
        server_id = row.text(0)?;
        address = format!("{}:{}", row.text(1)?, row.text(2)?);
        database = row.text(3)?;
    }
    let server = rds_id.map_or_else(|| format!("{server_id}@{address}"), str::to_owned);
    let generation = match names::in_files(&database) {
        Some(spelled) => {
            generation(conn, what, &format!("{spelled}/"), connect::has_dictionary(flavour, &version)).await?
        }
        None => None,
    };
    Ok(match generation {
        Some(generation) => format!("{database}:{generation}@{server}"),
        None => format!("{database}@{server}"),
    })
}

async fn generation(conn: &mut Conn, what: &str, within: &str, has_dictionary: bool) -> Result<Option<u64>> {
    let sql = if has_dictionary { OLDEST_DICTIONARY } else { OLDEST };
    match conn.exec_first::<Option<u64>, _, _>(sql, (within, within)).await {
        Ok(oldest) => Ok(oldest.flatten()),
        // The check tells what that means.
        Err(error) if fault::kind_of(&error) == ErrorKind::Denied => Ok(None),
        Err(error) => Err(fault::store_error(what, &error)),
    }
}
