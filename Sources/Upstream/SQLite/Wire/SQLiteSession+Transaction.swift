import PostgresWire
import ResultCache
import SQLAnalysis

/// Transactions: PostgreSQL's view of them, carried out with SQLite's.
extension SQLiteSession {
    var transactionIsolationText: String {
        let level =
            transaction.status == .idle
            ? defaultModes.isolation ?? .readCommitted
            : transaction.isolation
        switch level {
        case .readUncommitted: return "read uncommitted"
        case .readCommitted: return "read committed"
        case .repeatableRead: return "repeatable read"
        case .serializable: return "serializable"
        }
    }

    var transactionReadOnlyText: String {
        let isReadOnly =
            transaction.status == .idle ? defaultModes.isReadOnly ?? false : transaction.isReadOnly
        return isReadOnly ? "on" : "off"
    }

    private var defaultModes: ControlStatement.TransactionModes {
        .init(
            isolation: settings["default_transaction_isolation"]
                .flatMap(ControlStatementReader.isolation),
            isReadOnly: settings["default_transaction_read_only"] == "on")
    }

    // MARK: Statements that need a transaction

    /// Sees to it that `plan` can run here and now: the right place, the right SQLite transaction.
    /// Throws a `Handover` before anything has happened.
    func prepareToRun(_ plan: StatementPlan.SQLPlan) throws {
        try database.checkNotReplaced()
        let place = try place
        let writes = !plan.isReadOnly
        let isReadOnly =
            transaction.status == .idle ? defaultModes.isReadOnly ?? false : transaction.isReadOnly
        if writes, isReadOnly || database.isReadOnly {
            throw PostgresError(
                .readOnlyTransaction,
                database.isReadOnly
                    ? "cannot execute \(plan.tag.command): the SQLite database is read-only"
                    : "cannot execute \(plan.tag.command) in a read-only transaction")
        }
        if !transaction.holdsWriter {
            let stable = transaction.needsStableSnapshot
            let mustWrite =
                writes || (plan.takesLock && !isReadOnly && !database.isReadOnly)
                || (stable && !isReadOnly && !database.isReadOnly)
            if mustWrite {
                try takeWriter(place)
            } else if place.isWriter {
                throw Handover.toReader
            } else if stable, !transaction.holdsSnapshot {
                try takeSnapshot(place)
            }
        }
        try fetchAheadSuspendedPortals(on: place)
        transaction.hasRun = true
    }

    /// Opens the write transaction; other processes' commits up to here are noticed first.
    func takeWriter(_ place: Place) throws {
        try fetchAheadSuspendedPortals(on: place)
        guard place.isWriter else { throw Handover.toWriter }
        let connection = place.connection
        try beginImmediate(connection)
        transaction.holdsWriter = true
        try database.checkForeignWrites(connection, isWriting: true)
        for index in transaction.savepoints.indices {
            try connection.execute("SAVEPOINT s\(index)")
        }
    }

    /// Waits for a lock that another process holds in short turns, between which what processes
    /// commit meanwhile is noticed: the periodic check cannot run on a thread that waits.
    private func beginImmediate(_ connection: SQLiteConnection) throws {
        let deadline = ContinuousClock.now + database.settings.busyTimeout
        let turn = database.lockTurn
        while true {
            do {
                try connection.whileCancellable(by: cancellation) {
                    try connection.withBusyTimeout(turn) {
                        try connection.execute("BEGIN IMMEDIATE")
                    }
                }
                return
            } catch let error as PostgresError
                where error.sqlState == .lockNotAvailable && ContinuousClock.now < deadline
            {
                try database.checkForeignWrites(connection)
            }
        }
    }

    private func takeSnapshot(_ place: Place) throws {
        guard pin() else {
            throw PostgresError(
                .tooManyConnections, "too many read-only snapshots are open",
                hint: "Commit some of them, or raise the number of SQLite readers.")
        }
        try place.connection.execute("BEGIN")
        transaction.holdsSnapshot = true
    }

    // MARK: Endings

    /// At Sync and at the end of a simple query: commits what is not in a block.
    func endImplicitTransaction() throws {
        guard transaction.status == .idle else { return }
        closeAllPortals()
        guard transaction.holdsWriter || settings.hasPendingChanges else {
            transaction = TransactionState()
            return
        }
        try finishTransaction(commit: true)
    }

    /// After an error: a block is failed, anything else is rolled back.
    func statementFailed() {
        switch transaction.status {
        case .idle:
            closeAllPortals()
            rollBackQuietly()
        case .inBlock, .failed:
            transaction.status = .failed
            // With savepoints there may be a way back, so that what SQLite holds must stay.
            if transaction.savepoints.isEmpty {
                closeAllPortals()
                abandonTransaction()
            }
        }
    }

    /// Rolls back what SQLite holds; the block itself stays as it is.
    func abandonTransaction() {
        if let place = try? place, transaction.holdsWriter || transaction.holdsSnapshot {
            if place.connection.isInTransaction { try? place.connection.execute("ROLLBACK") }
            if transaction.changedSchema { place.connection.forgetSchemaVersion() }
        }
        transaction.holdsWriter = false
        transaction.holdsSnapshot = false
        transaction.isUncovered = false
        transaction.changedSchema = false
    }

    private func rollBackQuietly() {
        abandonTransaction()
        changingSettings { $0.transactionRolledBack() }
        transaction = TransactionState()
    }

    private func finishTransaction(commit: Bool) throws {
        do {
            if commit {
                if transaction.holdsWriter { try commitWriter() }
                if transaction.holdsSnapshot { try place.connection.execute("COMMIT") }
            }
        } catch {
            rollBackQuietly()
            throw error
        }
        if commit {
            transaction.holdsWriter = false
            transaction.holdsSnapshot = false
            changingSettings { $0.transactionCommitted() }
            transaction = TransactionState()
        } else {
            rollBackQuietly()
        }
    }

    /// Commits on the writer. Where the analyzer had not foretold all that was written, a window
    /// over the whole database stands in for the ones that were not opened.
    private func commitWriter() throws {
        let connection = try place.connection
        let cells = database.cells
        let window =
            transaction.isUncovered
            ? cells.openWindow(
                transaction.changedSchema ? [cells.catalog, cells.schema] : [cells.schema]) : nil
        let schemaVersion =
            transaction.changedSchema ? try? connection.integer("PRAGMA schema_version") : nil
        do {
            try connection.whileCancellable(by: cancellation) {
                try connection.execute("COMMIT")
            }
        } catch {
            if transaction.changedSchema { connection.forgetSchemaVersion() }
            if connection.isInTransaction {
                // Refused (a deferred foreign key, a full disk): nothing became visible.
                try? connection.execute("ROLLBACK")
                window?.close(.aborted)
            } else {
                window?.close(.committed)
                cells.invalidate(catalogToo: true)
            }
            throw error
        }
        if transaction.changedSchema {
            database.foreignWrites.schemaChangedByUs(to: schemaVersion ?? nil)
        }
        // The commit's own trace in the file is confirmed before its client hears of it: nobody's
        // answers from memory are held up for longer than this takes.
        database.lookNow(connection)
        window?.close(.committed)
        // No window could be opened: move the cell now that the commit is visible.
        if transaction.isUncovered, window == nil { cells.invalidate(catalogToo: true) }
    }

    // MARK: Transaction control

    /// Carries out a transaction statement and returns its tag.
    func perform(_ request: ControlStatement.TransactionRequest) throws -> String {
        switch request {
        case .begin(let modes, let tag):
            begin(modes)
            return tag
        case .commit(let chain): return try end(commit: true, chain: chain)
        case .rollback(let chain): return try end(commit: false, chain: chain)
        case .savepoint(let name):
            try requireBlock("SAVEPOINT")
            try setSavepoint(name)
            return "SAVEPOINT"
        case .release(let name):
            try requireBlock("RELEASE SAVEPOINT")
            let index = try savepoint(name)
            if transaction.holdsWriter { try place.connection.execute("RELEASE s\(index)") }
            transaction.savepoints.removeSubrange(index...)
            settings.savepointReleased(at: index)
            return "RELEASE"
        case .rollbackTo(let name):
            try requireBlock("ROLLBACK TO SAVEPOINT")
            try rollBack(to: savepoint(name))
            return "ROLLBACK"
        }
    }

    private func begin(_ modes: ControlStatement.TransactionModes) {
        guard transaction.status == .idle else {
            warn(.activeTransaction, "there is already a transaction in progress")
            return
        }
        let defaults = defaultModes
        transaction.status = .inBlock
        transaction.isolation = modes.isolation ?? defaults.isolation ?? .readCommitted
        transaction.isReadOnly = modes.isReadOnly ?? defaults.isReadOnly ?? false
        settings.transactionBegan()
    }

    private func end(commit: Bool, chain: Bool) throws -> String {
        let tag = commit && transaction.status != .failed ? "COMMIT" : "ROLLBACK"
        let modes = ControlStatement.TransactionModes(
            isolation: transaction.isolation, isReadOnly: transaction.isReadOnly)
        if transaction.status == .idle {
            if chain {
                throw PostgresError(
                    .noActiveTransaction,
                    "\(tag) AND CHAIN can only be used in transaction blocks")
            }
            warn(.noActiveTransaction, "there is no transaction in progress")
        }
        closeAllPortals()
        try finishTransaction(commit: tag == "COMMIT")
        if chain { begin(modes) }
        return tag
    }

    private func warn(_ state: SQLState, _ message: String) {
        write { $0.writeNoticeResponse(PostgresError(state, message, severity: .warning)) }
    }

    private func requireBlock(_ what: String) throws {
        guard transaction.status != .idle else {
            throw PostgresError(
                .noActiveTransaction, "\(what) can only be used in transaction blocks")
        }
    }

    private func savepoint(_ name: String) throws -> Int {
        guard let index = transaction.savepoints.lastIndex(of: name) else {
            throw PostgresError("3B001", "savepoint \"\(name)\" does not exist")
        }
        return index
    }

    private func setSavepoint(_ name: String) throws {
        guard transaction.savepoints.count < 1_000 else {
            throw PostgresError(.programLimitExceeded, "too many savepoints")
        }
        if transaction.holdsWriter {
            try place.connection.execute("SAVEPOINT s\(transaction.savepoints.count)")
        }
        transaction.savepoints.append(name)
        settings.savepointSet()
    }

    private func rollBack(to index: Int) throws {
        let connection = try place.connection
        closeAllPortals()
        if transaction.holdsWriter {
            guard connection.isInTransaction else {
                throw PostgresError(
                    .inFailedTransaction,
                    "the transaction was rolled back as a whole and cannot go on",
                    hint: "Use ROLLBACK.")
            }
            try connection.execute("ROLLBACK TO s\(index)")
        }
        transaction.savepoints.removeSubrange((index + 1)...)
        changingSettings { $0.rolledBackToSavepoint(at: index) }
        transaction.status = .inBlock
    }

    /// SET TRANSACTION and SET SESSION CHARACTERISTICS.
    func setModes(
        _ modes: ControlStatement.TransactionModes, isSessionDefault: Bool
    ) throws {
        if isSessionDefault {
            try changingSettings { settings in
                if let isolation = modes.isolation {
                    try settings.set(
                        "default_transaction_isolation", Self.text(isolation), local: false)
                }
                if let isReadOnly = modes.isReadOnly {
                    try settings.set(
                        "default_transaction_read_only", isReadOnly ? "on" : "off", local: false)
                }
            }
            return
        }
        guard transaction.status != .idle else {
            warn(.noActiveTransaction, "SET TRANSACTION can only be used in transaction blocks")
            return
        }
        if let isolation = modes.isolation, isolation != transaction.isolation {
            guard !transaction.hasRun else {
                throw PostgresError(
                    .activeTransaction,
                    "SET TRANSACTION ISOLATION LEVEL must be called before any query")
            }
            transaction.isolation = isolation
        }
        if let isReadOnly = modes.isReadOnly {
            guard isReadOnly || !transaction.isReadOnly || !transaction.hasRun else {
                throw PostgresError(
                    .activeTransaction,
                    "transaction read-write mode must be set before any query")
            }
            transaction.isReadOnly = isReadOnly
        }
    }

    private static func text(_ isolation: IsolationLevel) -> String {
        switch isolation {
        case .readUncommitted: "read uncommitted"
        case .readCommitted: "read committed"
        case .repeatableRead: "repeatable read"
        case .serializable: "serializable"
        }
    }
}
