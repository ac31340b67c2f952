import NIOCore
import PostgresWire

// Statements that were parsed before the catalog or roles have changed.
//
// The server parses a prepared statement anew where a relation has changed, but not where a role has
// gained or lost a membership or an attribute such as BYPASSRLS: which policies apply stays what it was
// when it was parsed. So two sessions with the same user and settings may be answered differently, and
// what one of them was answered must not be stored for the other. (PlanCacheSysCallback in PostgreSQL's
// plancache.c: pg_authid and pg_auth_members are not among what it listens to.)

extension ClientSession {
    /// What has been committed about the catalog of this database, or about roles, or is about to be:
    /// a statement that was parsed under another version may have another plan.
    private var parsingVersion: UInt64 { catalogCell.current &+ clusterCell.current }

    /// The version of what is parsed now. What is parsed in a transaction that has written may know of
    /// what it has changed itself, and of what nobody else ever will: its version is nobody else's.
    var parsingVersionNow: UInt64 {
        transaction.writes == .nothing ? parsingVersion : UInt64.max - serial
    }

    /// Whether another session that parses the statement now has it answered in the same way.
    func isParsedAsOfNow(_ statement: PreparedStatement) -> Bool {
        !plansDependOnRoles || statement.parsingVersion == parsingVersion
    }

    /// Whether its answer has, as far as is known, the columns that it had when the client's Parse came.
    /// (Those of a shared statement were looked at then, unless the catalog was being read.)
    private func hasItsColumns(_ statement: PreparedStatement) -> Bool {
        isShared(statement) ? !statement.hasChangedShape : statement.keepsShape
    }

    /// SQLite has no roles, and a server that nobody shares none that matter.
    private var plansDependOnRoles: Bool { services.upstream.pools != nil }

    /// Has the server parse a statement anew whose answer could otherwise not be stored. To be called
    /// before anything is sent that uses it.
    ///
    /// Only as the first thing that is under way, with all settings known and nothing of the session's
    /// own uncommitted: what is parsed is then what anybody else would parse. Not where its answer may
    /// have other columns than the client was told of, which the server is to say; nor where it would
    /// be one more statement that a pinned connection has to keep.
    func parseAnew(_ statement: PreparedStatement) {
        guard plansDependOnRoles, statement.parsingVersion != parsingVersion, ledger.isEmpty,
            let profile = statement.profile, profile.catalogVersion == catalogCell.current,
            statement.statementProfile?.isCacheable == true, hasItsColumns(statement),
            bypassReason == nil, !pins.reasons.contains(.setting),
            statement.parseIdentity != .unknown, statement.parseIdentity == parseIdentity,
            catalogCell.writersInFlight == 0, clusterCell.writersInFlight == 0
        else { return }
        if isShared(statement) {
            // Under its new version it has another name there, which the connection may have already.
            statement.parsingVersion = parsingVersionNow
            return
        }
        guard statement.upstreamState == .prepared, link != nil else { return }
        if !statement.name.isEmpty {
            ledger.owe(.absorbedClose(nil))
            var close = ByteBuffer()
            CloseMessage(target: .statement, name: statement.name).write(to: &close)
            sendUpstream(close)
        }
        statement.upstreamState = .notPrepared
    }
}
