import ResultCache
import SQLAnalysis

// Prepared statements whose plans know the roles of before.
//
// The server parses a prepared statement anew where a relation has changed, but not where a role has
// gained or lost a membership or an attribute such as BYPASSRLS: which policies apply stays what it was
// when it was parsed. So two sessions with the same user and settings may be answered differently, and
// what one of them was answered must not be stored for the other. (PlanCacheSysCallback in PostgreSQL's
// plancache.c: pg_authid and pg_auth_members are not among what it listens to.)

extension ClientSession {
    /// What has been committed about the catalog of this database, or about roles, or is about to be.
    var rolesVersion: UInt64 { catalogCell.current &+ clusterCell.current }

    /// That of what is parsed now; 0 for what may know of changes that the session's own transaction has
    /// made, and perhaps nobody else will ever see.
    var rolesVersionNow: UInt64 { transaction.writes == .nothing ? rolesVersion : 0 }

    /// Whether others that prepare the statement now are answered like this session.
    func knowsRolesOfNow(_ statement: PreparedStatement) -> Bool {
        statement.statementProfile?.isSubjectToPolicies != true
            || statement.rolesVersion == rolesVersion
    }
}
