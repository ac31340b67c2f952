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
    /// Moves whenever something about the catalog of this database, or about roles, has changed or is
    /// about to: a statement that was parsed under another one may have another plan.
    var parsingVersion: UInt64 { catalogCell.current &+ clusterCell.current }

    /// Has the server parse a statement anew whose answer could otherwise not be stored. To be called
    /// before anything is sent that uses it.
    ///
    /// Not where that would make another statement of it: its constants were read with other settings,
    /// or its answer has other columns by now. Nor, for one that the server knows by the client's own
    /// name, where an error before may have the server skip half of it.
    func parseAnew(_ statement: PreparedStatement) {
        let version = parsingVersion
        guard statement.parsingVersion != version, !statement.hasChangedShape,
            statement.statementProfile?.isCacheable == true,
            statement.parseIdentity != .unknown, statement.parseIdentity == parseIdentity,
            transaction.status != .failed, !ledger.isSkippingToSync,
            catalogCell.writersInFlight == 0, clusterCell.writersInFlight == 0
        else { return }
        if isShared(statement) {
            // Under its new version it has another name there, which the connection may have already.
            statement.parsingVersion = version
            return
        }
        guard statement.upstreamState == .prepared else { return }
        if !statement.name.isEmpty {
            guard ledger.isEmpty, link != nil else { return }
            ledger.owe(.absorbedClose(nil))
            var close = ByteBuffer()
            CloseMessage(target: .statement, name: statement.name).write(to: &close)
            sendUpstream(close)
        }
        statement.upstreamState = .notPrepared
    }
}
