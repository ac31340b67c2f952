import DequeModule
import NIOCore
import PostgresWire
import SQLAnalysis

/// Plans, and the running of one statement to rows and a command tag.
extension SQLiteSession {
    enum Completion {
        case complete(tag: String)
        case suspended
    }

    // MARK: Plans

    /// The plan of `source`, remembered from any session or made here.
    func plan(_ source: String) throws -> StatementPlan {
        try database.checkNotReplaced()
        let connection = try place.connection
        let version = try connection.refreshSchema()
        // A transaction that has changed the schema sees its own.
        let isPrivate = transaction.changedSchema
        if !isPrivate,
            let known = database.plans.plan(of: source, schemaVersion: version)
        {
            return known
        }
        let planner = StatementPlanner(
            connection: connection, schema: try schema(on: connection), schemaVersion: version)
        let plan = try planner.plan(source, session: emulatedSession)
        // A snapshot's schema may be an old one.
        if !isPrivate, !transaction.holdsSnapshot { database.plans.remember(plan) }
        return plan
    }

    private func schema(on connection: SQLiteConnection) throws -> SQLiteSchema {
        transaction.changedSchema
            ? try SQLiteSchema.load(from: connection.handle) : try database.schema(on: connection)
    }

    /// In a failed block only its end is accepted.
    func checkNotFailed(_ plan: StatementPlan?) throws {
        guard transaction.status == .failed, plan?.endsFailedTransaction != true else { return }
        throw Self.failedBlock
    }

    static let failedBlock = PostgresError(
        .inFailedTransaction,
        "current transaction is aborted, commands ignored until end of transaction block")

    /// Makes sure that a statement prepared before a schema change still is what was announced.
    func revalidated(_ statement: PreparedStatement) throws -> PreparedStatement {
        guard let plan = statement.plan else { return statement }
        if case .control = plan.action { return statement }
        let version = try place.connection.refreshSchema()
        guard plan.schemaVersion != version || transaction.changedSchema else { return statement }
        let fresh = try self.plan(plan.source)
        guard fresh.columns == plan.columns else { throw Self.changedResultType }
        var statement = statement
        statement.plan = fresh
        return statement
    }

    /// Drivers that prepare such a statement anew by themselves know it by the routine.
    static let changedResultType = PostgresError(
        .featureNotSupported, "cached plan must not change result type",
        routine: "RevalidateCachedQuery")

    /// Thrown before anything of a statement was done or told: its plan is of another schema than
    /// the one that it found.
    struct StalePlan: Error {}

    // MARK: Running

    /// Runs `portal` for at most `limit` rows (0: all), writing its rows.
    func run(_ portal: Portal, limit: Int, describes: Bool = false) throws -> Completion {
        guard let plan = portal.statement.plan else { return .complete(tag: "") }
        try checkNotFailed(plan)
        switch plan.action {
        case .control(let control):
            defer { portal.source = .finished }
            return .complete(
                tag: try perform(control, encoder: portal.encoder, describes: describes))
        case .emulated: return try runEmulated(portal, plan, limit, describes)
        case .sql(let sql): return try runSQL(portal, sql, limit, describes)
        }
    }

    private func runEmulated(
        _ portal: Portal, _ plan: StatementPlan, _ limit: Int, _ describes: Bool
    ) throws -> Completion {
        if case .notStarted = portal.source {
            let schema = try schema(on: place.connection)
            guard
                let answer = try SessionQuestions.answer(
                    plan.source, parameters: portal.values.map(ParameterDecoder.text),
                    session: emulatedSession, schema: schema)
            else {
                throw PostgresError(
                    .featureNotSupported,
                    "this question about the catalog is not supported by the SQLite upstream")
            }
            try apply(answer.settingChanges)
            if describes { writeDescription(portal) }
            var rows = Deque<ByteBuffer>()
            for row in answer.rows {
                var buffer = ByteBuffer()
                try portal.encoder.write(row, to: &buffer)
                rows.append(buffer)
            }
            portal.source = .buffered(rows)
        }
        return takeBuffered(portal, .select, limit)
    }

    private func apply(_ changes: [EmulatedAnswer.SettingChange]) throws {
        guard !changes.isEmpty else { return }
        try changingSettings { settings in
            settings.transactionBegan()
            for change in changes {
                try settings.set(change.name, change.value, local: change.isLocal)
            }
        }
    }

    private func runSQL(
        _ portal: Portal, _ plan: StatementPlan.SQLPlan, _ limit: Int, _ describes: Bool
    ) throws -> Completion {
        switch portal.source {
        case .finished: return .complete(tag: plan.tag.text(rows: 0, changes: 0))
        case .buffered: return takeBuffered(portal, plan.tag, limit)
        case .notStarted:
            try prepareToRun(plan)
            let connection = try place.connection
            try connection.refreshSchema()
            let cursor = try connection.statement(plan.sql)
            guard cursor.shape == plan.shape else { throw StalePlan() }
            try cursor.bind(portal.values)
            portal.source = .cursor(cursor)
            return try takeRows(portal, cursor, plan, limit, isStart: true, describes: describes)
        case .cursor(let cursor): return try takeRows(portal, cursor, plan, limit)
        }
    }

    func writeDescription(_ portal: Portal) {
        write { $0.writeRowDescription(portal.encoder.descriptions) }
    }

    private func takeRows(
        _ portal: Portal, _ cursor: CompiledStatement, _ plan: StatementPlan.SQLPlan, _ limit: Int,
        isStart: Bool = false, describes: Bool = false
    ) throws -> Completion {
        let connection = try place.connection
        do {
            let isDone = try connection.whileCancellable(by: cancellation) {
                let timeout = scheduleStatementTimeout()
                defer { timeout?.cancel() }
                var taken = 0
                var hasRow = try connection.step(cursor)
                if isStart {
                    // The first step compiles anew what the schema has changed under. Nothing is
                    // told before, and nothing written: nobody else changes what a writer writes.
                    guard cursor.shape == plan.shape else { throw StalePlan() }
                    if describes, !portal.encoder.columns.isEmpty { writeDescription(portal) }
                }
                while hasRow {
                    try portal.encoder.write(cursor, to: &output)
                    portal.rows += 1
                    taken += 1
                    if output.readableBytes >= Self.chunk {
                        flush()
                        if isEnding || cancellation.isRequested { throw cancellation.error }
                    }
                    if limit > 0, taken >= limit { return false }
                    hasRow = try connection.step(cursor)
                }
                return true
            }
            if !isDone {
                // A portal outside the writer keeps its reader, unless too many do.
                if !transaction.holdsWriter, !pin() { try fetchAhead(portal, cursor) }
                return .suspended
            }
        } catch {
            portal.finish()
            if !plan.isReadOnly { noteWrites(of: cursor, plan, portal.statement) }
            throw error
        }
        let changes = plan.isReadOnly ? 0 : connection.changes
        if !plan.isReadOnly { noteWrites(of: cursor, plan, portal.statement) }
        portal.finish()
        return .complete(tag: plan.tag.text(rows: portal.rows, changes: changes))
    }

    /// Compares what the statement wrote by the authorizer's word, on this connection and with the
    /// schema as it is now, with what its profile had said.
    private func noteWrites(
        of cursor: CompiledStatement, _ plan: StatementPlan.SQLPlan, _ statement: PreparedStatement
    ) {
        let record = cursor.record
        if record.changesSchema { transaction.changedSchema = true }
        if !analyzer.foretold(
            record.writtenTables, changesSchema: record.changesSchema, by: statement.text,
            index: statement.index)
        {
            transaction.isUncovered = true
        }
    }

    private func scheduleStatementTimeout() -> Scheduled<Void>? {
        let limit = settings["statement_timeout"].flatMap(SessionSettings.milliseconds) ?? 0
        guard limit > 0 else { return nil }
        let current = cancellation.current
        return eventLoop.scheduleTask(in: .milliseconds(Int64(limit))) { [cancellation] in
            cancellation.request(.statementTimeout, statement: current)
        }
    }

    // MARK: Suspended portals

    private func takeBuffered(_ portal: Portal, _ tag: CommandTag, _ limit: Int) -> Completion {
        guard case .buffered(var rows) = portal.source else {
            return .complete(tag: tag.text(rows: 0, changes: 0))
        }
        portal.source = .finished
        var taken = 0
        while limit == 0 || taken < limit, var row = rows.popFirst() {
            write { $0.writeBuffer(&row) }
            portal.rows += 1
            taken += 1
        }
        // As PostgreSQL: a limit that is reached exactly suspends; the next Execute completes.
        if limit > 0, taken == limit {
            portal.source = .buffered(rows)
            return .suspended
        }
        return .complete(tag: tag.text(rows: portal.rows, changes: 0))
    }

    /// Reads the rest of every half-run portal into memory. An unfinished SQLite statement holds
    /// its connection's snapshot, so that the next statement there would not see what has been
    /// committed since; and one that writes might change what the portal has yet to show.
    func fetchAheadSuspendedPortals(on place: Place) throws {
        for portal in portals.values {
            if case .cursor(let cursor) = portal.source { try fetchAhead(portal, cursor) }
        }
    }

    private func fetchAhead(_ portal: Portal, _ cursor: CompiledStatement) throws {
        let connection = try place.connection
        var rows = Deque<ByteBuffer>()
        var size = 0
        do {
            try connection.whileCancellable(by: cancellation) {
                while try connection.step(cursor) {
                    var row = ByteBuffer()
                    try portal.encoder.write(cursor, to: &row)
                    size += row.readableBytes
                    guard size <= database.settings.portalBufferLimit else {
                        throw PostgresError(
                            .programLimitExceeded,
                            "an unfinished portal has too many rows left to run another statement",
                            hint: "Fetch it to its end first, or close it.")
                    }
                    rows.append(row)
                }
            }
        } catch {
            portal.finish()
            throw error
        }
        portal.finish()
        portal.source = .buffered(rows)
    }

    func closeAllPortals() {
        for portal in portals.values { portal.finish() }
        portals = [:]
    }
}
