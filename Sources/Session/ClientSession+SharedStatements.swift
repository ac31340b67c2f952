import NIOCore
import PostgresWire
import SQLAnalysis
import Upstream

// Prepared statements on connections that several clients use (pool mode transaction).
//
// A client's named statement has a name of the proxy's own on the server, made from its text, its
// parameter types and the settings that constants in it are read with: clients that prepare the
// same share it. The connection knows which of them it has; what is missing is prepared before its
// first use, and what was prepared by another client is not parsed again: the proxy answers that
// Parse itself, in its place among the replies owed. Unnamed statements stay unnamed, and are sent
// again where another connection serves.
//
// SQL's own statements (EXECUTE, DEALLOCATE, PREPARE) mean the client's names: where one of those is
// a statement of the protocol's, something of that name is made on the connection first.

extension ClientSession {
    /// Whether this statement is called otherwise on the server.
    func isShared(_ statement: PreparedStatement) -> Bool {
        sharesLinks && !statement.name.isEmpty
    }

    /// What the statement is on the server: as it was meant if the connection has it so, else
    /// prepared with the settings of now.
    private func digest(of statement: PreparedStatement) -> StatementDigest {
        if let digest = meantDigest(of: statement) { return digest }
        if statement.parseIdentity == .unknown, let sent = statement.sentDigest,
            pooledLink?.statements.contains(sent) ?? false
        {
            // Whatever the client's Parse was read with, this is what came of it.
            return sent
        }
        return statement.digest(
            parsedWith: parseIdentity == .unknown ? serial : parseIdentity.number,
            unknown: serial)
    }

    /// The statement parsed with the settings of the client's Parse, where the connection has it.
    private func meantDigest(of statement: PreparedStatement) -> StatementDigest? {
        guard statement.parseIdentity != .unknown, let pooledLink else { return nil }
        let digest = statement.digest(
            parsedWith: statement.parseIdentity.number, unknown: serial)
        return pooledLink.statements.contains(digest) ? digest : nil
    }

    /// Settings that constants in a text are read with when it is parsed, and the encoding that it
    /// is sent in. (What names stand for the server finds out anew by itself.)
    private static let parseSettings: Set<String> = [
        "timezone", "datestyle", "intervalstyle", "standard_conforming_strings", "backslash_quote",
        "lc_monetary", "lc_numeric", "lc_time", "default_text_search_config", "array_nulls",
        "transform_null_equals", "xmloption", "timezone_abbreviations", "client_encoding",
        "escape_string_warning",
    ]

    /// Statements made so far would be read otherwise on a connection that does not have them: the
    /// session stays on this one, which is about to be given all of them.
    func pinsStatements(_ segment: ForwardedSegment) -> Bool {
        guard statements.contains(where: { !$0.key.isEmpty }) else { return false }
        let changes = segment.steps.contains { step in
            guard case .setting(let change) = step.kind else { return false }
            switch change {
            case .set(let name, _), .setLocal(let name, _), .reset(let name):
                return Self.parseSettings.contains(name)
            case .resetAll, .unknown: return true
            case .discardAll: return false
            }
        }
        if changes { pins.pin(.setting) }
        return changes
    }

    /// Whether DDL may have given the statement's answer other columns than the client was told of,
    /// where this connection does not have it: a server that has it says so itself.
    func hasGoneStale(_ statement: PreparedStatement) -> Bool {
        guard statement.hasChangedShape, isShared(statement), let pooledLink else { return false }
        return !pooledLink.statements.contains(digest(of: statement))
    }

    /// Parse of a named statement. `statement` is new.
    func forwardSharedParse(
        _ statement: PreparedStatement, _ frame: MessageFrame
    ) throws(PostgresError) {
        guard let pooledLink else { preconditionFailure("a link is attached by now") }
        guard !ledger.isSkippingToSync else {
            // The server ignores it: nothing comes of it.
            sendUpstream(frame.bytes)
            return
        }
        if let existing = statements[statement.name], !isCertainOnLink(existing, holding: frame) {
            // Whether the name is in use is decided by what comes of an earlier segment.
            return
        }
        if statements[statement.name] != nil || pins.hasStatement(statement.name) {
            // The server is to say what is wrong with it, about the client's own name.
            occupy(statement.name)
            ledger.owe(.parse(statement, absorbed: false))
            statement.replaced = statements[statement.name]
            statements[statement.name] = statement
            sendUpstream(frame.bytes)
            return
        }
        guard isCertainOnLink(statement, holding: frame) else { return }
        let digest = digest(of: statement)
        let isKnown = pooledLink.statements.use(digest)
        if isKnown, transaction.status != .failed {
            statement.unconfirmedIn = openSegment
            guard ledger.owe(.parseAnswered(statement)) else { return }
            remember(statement)
            writeOwnAnswers()
            return
        }
        // In a failed transaction the server refuses to parse: it is to do so itself.
        if isKnown { closeOnServer(digest) }
        makeRoom(for: digest)
        if ledger.owe(.parse(statement, absorbed: false)) {
            remember(statement)
            statement.unconfirmedIn = openSegment
            statement.sentDigest = digest
            unconfirmedParses[digest] = openSegment
        }
        sendUpstream(statement.parseMessage(named: digest.name))
    }

    private func remember(_ statement: PreparedStatement) {
        statements[statement.name] = statement
    }

    /// Makes sure that the server has the statement, before a message that uses it.
    func prepareShared(_ statement: PreparedStatement) {
        guard let pooledLink else { return }
        let digest = digest(of: statement)
        // What the server ignores it does not prepare either.
        guard !pooledLink.statements.use(digest), !ledger.isSkippingToSync else { return }
        makeRoom(for: digest)
        if ledger.owe(.parse(statement, absorbed: true)) {
            statement.sentDigest = digest
            unconfirmedParses[digest] = openSegment
        }
        sendUpstream(statement.parseMessage(named: digest.name))
    }

    /// A session that is tied by settings which its statements were read with gives up none: parsed
    /// again, constants in them would be read with those of now.
    private func makeRoom(for digest: StatementDigest) {
        guard
            let evicted = pooledLink?.statements.add(
                digest, keepsAll: pins.reasons.contains(.setting))
        else { return }
        closeOnServer(evicted)
    }

    private func closeOnServer(_ digest: StatementDigest) {
        ledger.owe(.absorbedClose(digest))
        var close = ByteBuffer()
        CloseMessage(target: .statement, name: digest.name).write(to: &close)
        sendUpstream(close)
    }

    /// The server's name of a statement that it has.
    func serverName(of statement: PreparedStatement) -> String {
        digest(of: statement).name
    }

    /// Whether what a statement answers was parsed with the settings of the client's Parse.
    func isFaithful(_ statement: PreparedStatement) -> Bool {
        isShared(statement)
            ? parseIdentity != .unknown
                && (statement.parseIdentity == parseIdentity || meantDigest(of: statement) != nil)
            : statement.isFaithful
    }

    /// Whether it is known that the connection has the statement, or will have: as
    /// `isCertainUpstream`, for all statements of one digest.
    func isCertainOnLink(_ statement: PreparedStatement, holding frame: MessageFrame) -> Bool {
        let digest = digest(of: statement)
        let isOpen = [unconfirmedParses[digest], statement.unconfirmedIn].contains {
            $0 != nil && $0 !== openSegment
        }
        guard isOpen else { return true }
        awaitedParse = (statement, suspend(.upstream, holding: frame))
        return false
    }

    /// The server has answered a Parse, or will not.
    func parseIsSettled(_ statement: PreparedStatement) {
        if !unconfirmedParses.isEmpty { unconfirmedParses[statement.sentDigest] = nil }
    }

    /// Whether a name that the client has not made could be one of the proxy's own on the server.
    func isReserved(_ name: String) -> Bool {
        sharesLinks && name.hasPrefix(StatementDigest.prefix)
    }

    /// Close of a named statement: others may be using it on the server.
    func forwardSharedClose(_ statement: PreparedStatement) {
        guard ledger.owe(.closeAnswered(statement)) else { return }
        statements[statement.name] = nil
        writeOwnAnswers()
    }

    /// The server will not have these after all, or still has them.
    func restoreShared(
        unprepared: [PreparedStatement], unclosed: [StatementDigest], unmade: [String]
    ) {
        for name in unmade { pins.notMade(name) }
        guard let pooledLink else { return }
        for statement in unprepared where isShared(statement) {
            guard let digest = statement.sentDigest else { continue }
            pooledLink.statements.remove(digest)
            // Which came first, the Parse or the Close, decides what the server has: not known here.
            if unclosed.contains(digest) { pins.pin(.unknownState) }
            parseIsSettled(statement)
        }
        for digest in unclosed { pooledLink.statements.restore(digest) }
    }

    /// Answers of the proxy's own whose turn it is.
    func writeOwnAnswers() {
        while let answer = ledger.takeOwnAnswer() {
            switch answer {
            case .parseComplete(let statement):
                statement.unconfirmedIn = nil
                output.buffer.writeParseComplete()
            case .closeComplete: output.buffer.writeCloseComplete()
            }
        }
    }

    // MARK: SQL's own statements

    /// Statements are about to be sent that may name a prepared statement of the client's.
    func prepareNamesInSQL(
        _ profiles: [StatementProfile], endingEachWithSync: Bool
    ) {
        guard sharesLinks, transaction.status != .failed, !ledger.isSkippingToSync else { return }
        for profile in profiles {
            for effect in profile.sessionEffects {
                switch effect {
                case .deallocate(let name?) where statements[name] != nil:
                    occupy(name, endingWithSync: endingEachWithSync)
                case .deallocate(let name?) where isReserved(name):
                    // Somebody else's: the connection is not used any more afterwards.
                    pins.pin(.unknownState)
                case .prepare(let name) where statements[name] != nil:
                    occupy(name, endingWithSync: endingEachWithSync)
                case .execute(let name) where !pins.hasStatement(name):
                    guard let statement = statements[name] else { continue }
                    pins.sent(.prepare(name: name))
                    sendOwnParse(
                        statement.parseMessage(named: name), of: name,
                        endingWithSync: endingEachWithSync)
                default: continue
                }
            }
        }
    }

    /// Makes an empty statement of this name on the connection.
    private func occupy(_ name: String, endingWithSync: Bool = false) {
        // (Names that are not ASCII are kept in another form, with a zero in it.)
        guard !pins.hasStatement(name), !name.utf8.contains(0) else { return }
        pins.sent(.prepare(name: name))
        var parse = ByteBuffer()
        ParseMessage(statement: name, query: "").write(to: &parse)
        sendOwnParse(parse, of: name, endingWithSync: endingWithSync)
    }

    private func sendOwnParse(_ message: ByteBuffer, of name: String, endingWithSync: Bool) {
        if !ledger.owe(.absorbedParse(name: name)) { pins.notMade(name) }
        sendUpstream(message)
        guard endingWithSync, openSegment == nil else { return }
        let segment = ForwardedSegment(
            isAbsorbed: true, startedIdle: false, startedAt: MonotonicClock.now)
        ledger.owe(.sync(segment))
        var sync = ByteBuffer()
        sync.writeSync()
        sendUpstream(sync)
    }
}

extension PreparedStatement {
    /// The whole Parse message under another name.
    func parseMessage(named name: String) -> ByteBuffer {
        var body = parseMessage
        body.moveReaderIndex(forwardBy: MessageFraming.headerLength)
        return ByteBuffer(renaming: &body, tag: FrontendTag.parse, before: [], to: name)
    }
}

extension ByteBuffer {
    /// A message whose body is `before`, a name, and what follows a zero-terminated name in `body`.
    init(renaming body: inout ByteBuffer, tag: UInt8, before: [UInt8], to name: String) {
        if let end = body.readableBytesView.firstIndex(of: 0) {
            body.moveReaderIndex(to: end + 1)
        }
        self.init()
        let length = 4 + before.count + name.utf8.count + 1 + body.readableBytes
        reserveCapacity(length + 1)
        writeInteger(tag)
        writeInteger(Int32(length))
        writeBytes(before)
        writeString(name)
        writeInteger(UInt8(0))
        writeImmutableBuffer(body)
    }
}
