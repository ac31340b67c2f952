import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Telemetry

/// EXPLAIN CACHE. The message is replaced by one whose statement answers the explanation's rows,
/// which then is handled like any other: so that Describe, portals, pipelines and every driver work.
extension ClientSession {
    /// Statements of one string that are explained; of more it is said how many there are.
    private static let explainedStatements = 64

    /// The Query message to be handled in place of one that asks about `statement`; nil while
    /// something is awaited: `frame` is looked at again then.
    func explaining(
        query statement: ByteBufferView, holding frame: MessageFrame
    ) throws(PostgresError) -> MessageFrame? {
        if services.analyses, canProbe {
            try probeSettings(holding: frame)
            return nil
        }
        guard
            let sql = explanation(
                of: statement, parameterTypes: [], isExtended: false, holding: frame)
        else { return nil }
        var message = ByteBuffer()
        message.writeQuery(sql)
        return MessageFrame(tag: frame.tag, bytes: message)
    }

    /// `frame`, which is a Parse, or what takes its place where it asks for an explanation; nil
    /// while something is awaited. The rows are those of this moment, also where the statement is
    /// executed again later.
    func explaining(parse frame: MessageFrame) throws(PostgresError) -> MessageFrame? {
        var body = frame.body
        guard body.readObjectName() != nil,
            ExplainCommand.statement(in: body.readableBytesView) != nil,
            services.upstream.analysesStatements,
            var message = try? ParseMessage(decoding: frame.body)
        else { return frame }
        let text = ByteBuffer(string: message.query).readableBytesView
        guard let statement = ExplainCommand.statement(in: text) else { return frame }
        guard
            let sql = explanation(
                of: statement, parameterTypes: message.parameterTypes, isExtended: true,
                holding: frame)
        else { return nil }
        message.query = sql
        var bytes = ByteBuffer()
        message.write(to: &bytes)
        return MessageFrame(tag: frame.tag, bytes: bytes)
    }

    private func explanation(
        of statement: ByteBufferView, parameterTypes: [UInt32], isExtended: Bool,
        holding frame: MessageFrame
    ) -> String? {
        var explanation = CacheExplanation()
        let text = analysable(statement)
        let profile: QueryProfile
        if let text {
            guard let known = self.profile(of: text, parameterTypes: parameterTypes, holding: frame)
            else { return nil }
            profile = known
        } else {
            profile = unparsedProfile
        }
        _ = noteSettingsRead(by: profile)
        let sql = text ?? ""
        let parameters = Self.parameterCount(of: sql)
        let question = ExplainedQuery(
            sql: sql, bytes: statement,
            hasParameters: max(parameters, parameterTypes.count) > 0)
        explain(profile, question, in: &explanation)
        if sharesLinks {
            for reason in pins.reasons.map(\.rawValue).sorted() {
                explanation.add("connection", "tied to this session: \(reason)")
            }
        }
        return explanation.query(
            parameterTypes: parameterTypes, parameters: isExtended ? parameters : 0,
            isASCII: !clientEncodingIsUTF8)
    }

    /// The highest number of a `$n` in the text.
    private static func parameterCount(of sql: String) -> Int {
        guard let tokens = try? PgQuery.scan(sql) else { return 0 }
        let bytes = Array(sql.utf8)
        let numbers = tokens.filter { $0.kind == .parameter }.compactMap {
            Int(String(decoding: bytes[($0.start + 1)..<$0.end], as: UTF8.self))
        }
        // What a Bind message can hold.
        return min(numbers.max() ?? 0, Int(UInt16.max))
    }

    private func explain(
        _ profile: QueryProfile, _ question: ExplainedQuery, in explanation: inout CacheExplanation
    ) {
        guard let first = profile.statements.first else {
            explanation.add("cacheable", "no")
            explanation.add("explanation", "There is no statement.")
            return
        }
        guard profile.statements.count > 1 else {
            explain(first, question, in: &explanation)
            return
        }
        explanation.add("cacheable", "no")
        add(.multipleStatements, to: &explanation)
        let count = profile.statements.count
        for (index, statement) in profile.statements.prefix(Self.explainedStatements).enumerated() {
            explanation.add("statement", "\(index + 1) of \(count)")
            explain(statement, nil, in: &explanation)
        }
    }

    private func add(_ reason: BypassReason, to explanation: inout CacheExplanation) {
        explanation.add("reason", reason.rawValue)
        explanation.add("explanation", reason.explanation)
    }

    /// - Parameter question: nil for one of several statements: it has no entry of its own.
    private func explain(
        _ statement: StatementProfile, _ question: ExplainedQuery?,
        in explanation: inout CacheExplanation
    ) {
        var reason = statement.bypassReason
        var decision: CacheDecision?
        if statement.isCacheable, let question {
            decision = services.options.policy(statement.readSet, question.sql)
            if decision == .never { reason = .rule }
        }
        explanation.add("kind", Self.name(of: statement.kind))
        explanation.add("cacheable", reason == nil ? "yes" : "no")
        if let reason { add(reason, to: &explanation) }
        if statement.isCacheable, let reason = bypassReason {
            explanation.add("session", "\(reason.rawValue): \(reason.explanation)")
        }
        addReads(of: statement, to: &explanation)
        addWrites(of: statement, to: &explanation)
        for name in statement.settingsRead.sorted() {
            let isKnown = settings.custom.knows([name])
            explanation.add("settings", isKnown ? name : "\(name) (not known here)")
        }
        guard let decision, let question else { return }
        explanation.add(
            "rule", services.options.matchingRule(statement.readSet, question.sql) ?? "none")
        guard case .store(let timeToLive) = decision else { return }
        explanation.add(
            "ttl",
            timeToLive.map(CacheExplanation.duration(nanoseconds:)) ?? "until invalidated")
        addWriters(of: statement, to: &explanation)
        addEntry(of: question, to: &explanation)
    }

    private static func name(of kind: StatementProfile.Kind) -> String {
        switch kind {
        case .read: "read"
        case .write: "write"
        case .transaction: "transaction control"
        case .setting: "setting"
        case .harmless: "harmless"
        case .locking: "locking"
        case .opaque: "opaque"
        }
    }

    // MARK: Reads and writes

    private func addReads(of statement: StatementProfile, to explanation: inout CacheExplanation) {
        var names: [RelationIdentifier: String] = [:]
        for relation in statement.readSet where names[relation.identifier] == nil {
            names[relation.identifier] = Self.name(of: relation)
        }
        var seen: Set<RowDependency> = []
        for dependency in statement.dependencies where seen.insert(dependency).inserted {
            let name = names[dependency.relation] ?? self.name(of: dependency.relation)
            explanation.add("reads", "\(name): \(CacheExplanation.text(of: dependency.scope))")
        }
    }

    private func addWrites(of statement: StatementProfile, to explanation: inout CacheExplanation) {
        switch statement.writeSet {
        case .nothing: break
        case .everything: explanation.add("writes", "everything")
        case .everythingAndCatalog: explanation.add("writes", "everything and the catalog")
        case .relations(let relations):
            let rows = relations.map {
                "\(name(of: $0.key)): \(CacheExplanation.text(of: $0.value))"
            }
            for row in rows.sorted() { explanation.add("writes", row) }
        }
    }

    private func name(of identifier: RelationIdentifier) -> String {
        services.upstream.analyzer.relation(identifier, database: database).map(Self.name)
            ?? identifier.rawValue
    }

    private static func name(of relation: Relation) -> String {
        relation.schema.isEmpty ? relation.name : "\(relation.schema).\(relation.name)"
    }

    /// Relations that the statement reads and that are being written: nothing of theirs is stored
    /// until that is over.
    private func addWriters(of statement: StatementProfile, to explanation: inout CacheExplanation)
    {
        var names: Set<String> = []
        for relation in statement.readSet {
            let cell = services.cells.cell(
                .all(database: database, relation: relation.identifier.rawValue))
            if cell.writersInFlight > 0 { names.insert(Self.name(of: relation)) }
        }
        if services.cells.cell(.schema(database: database)).writersInFlight > 0
            || services.cells.cell(.cluster).writersInFlight > 0
        {
            names.insert("anything")
        }
        for name in names.sorted() { explanation.add("writers in flight", name) }
    }

    // MARK: The entry

    private func addEntry(of question: ExplainedQuery, to explanation: inout CacheExplanation) {
        guard !question.hasParameters else {
            explanation.add("entry", "one for each set of parameter values")
            return
        }
        guard identity != .unknown else {
            explanation.add("entry", "none in reach of this session")
            return
        }
        var key = ByteBuffer()
        CacheKeyWriter.writeSimple(
            query: question.bytes, identity: identity, parseIdentity: parseIdentity, into: &key)
        explanation.add("entry", entry(under: key))
        // The same text with all columns in binary, as some drivers ask for them.
        key.moveWriterIndex(to: key.writerIndex - 2)
        key.writeInteger(UInt16(1))
        key.writeInteger(UInt16(1))
        let binary = entry(under: key)
        if binary != "none" { explanation.add("entry", "\(binary), in binary") }
    }

    private func entry(under key: ByteBuffer) -> String {
        let now = MonotonicClock.now
        let standing = key.withUnsafeReadableBytes {
            services.cache.standing(of: $0, hash: ReplyCache.hash($0), now: now)
        }
        switch standing {
        case .none: return "none"
        case .invalidated: return "stale: what it was read from has been written since"
        case .expired: return "expired"
        case .writerInFlight(let reply):
            return "\(Self.description(of: reply, now)); withheld while it is being written"
        case .current(let reply): return Self.description(of: reply, now)
        }
    }

    private static func description(of reply: CachedReply, _ now: UInt64) -> String {
        func span(_ from: UInt64, _ to: UInt64) -> String {
            CacheExplanation.duration(nanoseconds: to > from ? to - from : 0)
        }
        var text = "cached \(span(reply.storedAt, now)) ago, \(reply.readableBytes) bytes, "
        text += reply.expiry == .max ? "until invalidated" : "expires in \(span(now, reply.expiry))"
        return text
    }
}

/// The statement that EXPLAIN CACHE asks about.
private struct ExplainedQuery {
    let sql: String
    /// As the client sent it: what the cache key holds.
    let bytes: ByteBufferView
    let hasParameters: Bool
}
