import Mutants
import NIOCore
import PostgresWire
import ResultCache
import SQLAnalysis
import Upstream

/// One prepared statement of a session, as the client named it.
///
/// Confined to the session's event loop. A class because the ledger, portals and captures refer to
/// the same statement while replies are on their way.
final class PreparedStatement {
    enum UpstreamState {
        /// The upstream has not been asked to parse it (its Parse was answered from memory, or the
        /// link it was parsed on is gone): a Parse is injected before its first use.
        case notPrepared
        /// Parse has been sent.
        case prepared
    }

    let name: String
    let query: String
    let parameterTypes: [UInt32]
    /// Identity of the session's settings at Parse: constants in the text were read with them.
    let parseIdentity: SessionIdentity
    /// The whole Parse message, to be sent again where the upstream does not have it.
    let parseMessage: ByteBuffer
    /// The statement's part of a cache key: text and parameter types, length-prefixed.
    let keyPart: ByteBuffer
    var upstreamState: UpstreamState
    /// Transaction control that may be answered without the upstream.
    let lazyCommand: LazyCommand?
    /// False once something may have deallocated the name behind the proxy's back; the statement is
    /// then not answered from memory.
    var isCertainToExist = true
    /// False where the upstream has parsed it with other settings than the client's Parse met: what
    /// it answers is then not stored.
    var isFaithful = true
    /// The segment with which a Parse of the proxy's own was sent, until the server has answered
    /// it: an error earlier in that segment makes the server skip it.
    var unconfirmedIn: ForwardedSegment?
    /// What an earlier statement of the same name was, to be restored if this Parse fails.
    var replaced: PreparedStatement?
    /// What it is on shared connections, as of the last use, and the settings that it was parsed with.
    private(set) var lastDigest: StatementDigest?
    private var digestContext: UInt64?
    /// As what it was sent to be parsed last.
    var sentDigest: StatementDigest?
    /// The session's `rolesVersion` when the client's Parse came: after DDL the same text is another
    /// statement.
    var catalogVersion: UInt64 = 0
    /// The session's `rolesVersionNow` when the server was asked to parse it last, or earlier: of then are
    /// the roles that its plan knows.
    var rolesVersion: UInt64 = 0
    /// Of its relations' columns, as of the first look.
    private var shape: Int?
    /// Its answer may have other columns than the client takes it for.
    private(set) var hasChangedShape = false
    var profile: QueryProfile?
    /// The identity with which the names in `profile` were resolved: the server resolves them anew
    /// when the search_path changes.
    var profileIdentity: SessionIdentity = .unknown

    init(
        name: String, query: String, parameterTypes: [UInt32], parseIdentity: SessionIdentity,
        parseMessage: ByteBuffer, keyPart: ByteBuffer, upstreamState: UpstreamState
    ) {
        self.name = name
        self.query = query
        self.parameterTypes = parameterTypes
        self.parseIdentity = parseIdentity
        self.parseMessage = parseMessage
        self.keyPart = keyPart
        self.upstreamState = upstreamState
        lazyCommand =
            query.utf8.count <= LazyCommand.longest
            ? LazyCommand(ByteBuffer(string: query).readableBytesView) : nil
    }

    /// What it is on a shared connection where it is parsed with the settings of `context`;
    /// `unknown` stands for those of the client's Parse where they are not known.
    func digest(parsedWith context: UInt64, unknown: UInt64) -> StatementDigest {
        if let lastDigest, digestContext == context { return lastDigest }
        let own = parseIdentity == .unknown ? unknown : parseIdentity.number
        let digest = StatementDigest(
            text: Mutant.statementsSharedByName.isActive ? ByteBuffer(string: name) : keyPart,
            contexts: (own, context, catalogVersion))
        lastDigest = digest
        digestContext = context
        return digest
    }

    /// The client's Parse has come.
    func parsed(in session: ClientSession) {
        catalogVersion = session.rolesVersion
        rolesVersion = session.rolesVersionNow
    }

    /// To be called with each new profile.
    func noteShape() {
        guard let now = profile?.statements.first?.shape else { return }
        shape = shape ?? now
        hasChangedShape = shape != now
    }

    /// The profile of its one statement; nil while unknown, and for an empty query.
    var statementProfile: StatementProfile? {
        profile?.statements.first
    }
}

extension PreparedStatement {
    convenience init(
        _ message: ParseMessage, bytes: ByteBuffer, identity: SessionIdentity,
        upstreamState: UpstreamState
    ) {
        // A copy of exactly this message: a slice would keep the whole receive buffer alive.
        var copy = ByteBuffer()
        copy.reserveCapacity(bytes.readableBytes)
        copy.writeImmutableBuffer(bytes)
        self.init(
            name: message.statement, query: message.query, parameterTypes: message.parameterTypes,
            parseIdentity: identity, parseMessage: copy,
            keyPart: CacheKeyWriter.statementPart(
                query: Self.rawQuery(in: copy), parameterTypes: message.parameterTypes),
            upstreamState: upstreamState)
    }

    /// The text as its bytes: what a simple Query of the same text has in its key.
    private static func rawQuery(in parseMessage: ByteBuffer) -> ByteBufferView {
        let body = parseMessage.readableBytesView.dropFirst(MessageFraming.headerLength)
        let text = body[(body.firstIndex(of: 0) ?? body.startIndex)...].dropFirst()
        return text[..<(text.firstIndex(of: 0) ?? text.endIndex)]
    }
}
