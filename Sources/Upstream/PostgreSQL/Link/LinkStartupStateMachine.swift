import NIOCore
import PostgresWire
import ResultCache

/// A connection's way from the startup message to its first ReadyForQuery, and through the settings
/// probe where one is wanted. Pure: messages in, actions out.
struct LinkStartupStateMachine {
    enum Action {
        case none
        case send(ByteBuffer)
        /// Run `derive()` off the event loop, then call `proofDerived`.
        case deriveProof(ScramKeyDerivation)
        case ready(UpstreamGreeting)
        /// The server is none that is wanted; why not.
        case unsuitable(String)
    }

    private enum State {
        case authenticating
        case awaitingReady
        /// Asked what kind of server it is; the answer as far as it has come.
        case checkingTarget(Bool?)
        case probing
        case ready
        case failed
    }

    /// More of either than any server sends.
    private static let maximumStatuses = 1000
    private static let maximumRows = 1000

    private var state: State = .authenticating
    private var authentication: ServerAuthenticationStateMachine
    private var greeting: UpstreamGreeting
    private let probesSettings: Bool
    private let target: TargetSession
    private let claim: LinkClaim?

    init(
        user: String, password: Secret?, binding: ChannelBinding = .unavailable,
        target: TargetSession = .any, probesSettings: Bool
    ) {
        self.init(
            user: user, credentials: password.map { .password($0) }, binding: binding,
            target: target, probesSettings: probesSettings)
    }

    /// `claim` is only made where settings are probed.
    init(
        user: String, credentials: UpstreamCredentials?, binding: ChannelBinding = .unavailable,
        target: TargetSession = .any, probesSettings: Bool, claim: LinkClaim? = nil
    ) {
        self.claim = claim
        authentication = ServerAuthenticationStateMachine(
            user: user, credentials: credentials, binding: binding)
        self.target = target
        greeting = UpstreamGreeting(
            parameterStatuses: [], backendKey: nil, settings: [:], sessionUser: user)
        self.probesSettings = probesSettings
    }

    /// Throws the server's own error where it sent one, `protocolViolation` (FATAL) for a message
    /// out of place.
    mutating func messageReceived(_ frame: MessageFrame) throws(PostgresError) -> Action {
        let before = state
        state = .failed
        let action = try process(frame, in: before)
        return action
    }

    mutating func proofDerived(_ proof: ScramProof) throws(PostgresError) -> Action {
        try perform(try authentication.proofDerived(proof))
    }

    private mutating func process(
        _ frame: MessageFrame, in before: State
    ) throws(PostgresError) -> Action {
        switch (before, frame.tag) {
        case (.ready, _), (.failed, _):
            throw Self.unexpected
        case (_, BackendTag.errorResponse):
            throw try PostgresError(decodingErrorResponse: frame.body)
        case (_, BackendTag.noticeResponse):
            state = before
            return .none
        case (.authenticating, BackendTag.authentication):
            return try perform(try authentication.messageReceived(frame.body))
        case (.awaitingReady, BackendTag.parameterStatus), (.probing, BackendTag.parameterStatus),
            (.checkingTarget, BackendTag.parameterStatus):
            try addStatus(try ParameterStatusMessage(decoding: frame.body))
            state = before
            return .none
        case (.awaitingReady, BackendTag.backendKeyData):
            greeting.backendKey = try BackendKey(decoding: frame.body)
            state = before
            return .none
        case (.awaitingReady, BackendTag.readyForQuery):
            _ = try TransactionStatus(decodingReadyForQuery: frame.body)
            return checkTarget()
        case (.checkingTarget(nil), BackendTag.dataRow):
            let row = try DataRowMessage(decoding: frame.body)
            guard row.values.count == 1, let text = row.text(at: 0) else { throw Self.unexpected }
            state = .checkingTarget(text == "on" || text == "t")
            return .none
        case (.checkingTarget, BackendTag.rowDescription),
            (.checkingTarget, BackendTag.commandComplete):
            state = before
            return .none
        case (.checkingTarget(let answer?), BackendTag.readyForQuery):
            return judge(answer)
        case (.probing, BackendTag.dataRow):
            try addSetting(try DataRowMessage(decoding: frame.body))
            state = before
            return .none
        case (.probing, BackendTag.rowDescription), (.probing, BackendTag.commandComplete):
            state = before
            return .none
        case (.probing, BackendTag.readyForQuery):
            return becomeReady()
        case (.authenticating, _), (.awaitingReady, _), (.checkingTarget, _), (.probing, _):
            throw Self.unexpected
        }
    }

    /// Servers from PostgreSQL 14 on say by themselves what they are; others are asked.
    private mutating func checkTarget() -> Action {
        guard let question = target.question else { return probe() }
        if let answer = target.answer(in: greeting.parameterStatuses) { return judge(answer) }
        state = .checkingTarget(nil)
        return Self.query(question)
    }

    private mutating func judge(_ answer: Bool) -> Action {
        if let refusal = target.refusal(answer) { return .unsuitable(refusal) }
        return probe()
    }

    private mutating func probe() -> Action {
        guard probesSettings else { return becomeReady() }
        state = .probing
        return Self.query(SettingsProbe.query + (claim?.probe ?? ""))
    }

    private static func query(_ text: String) -> Action {
        var query = ByteBuffer()
        query.writeQuery(text)
        return .send(query)
    }

    private mutating func becomeReady() -> Action {
        state = .ready
        return .ready(greeting)
    }

    private mutating func perform(
        _ action: ServerAuthenticationStateMachine.Action
    ) throws(PostgresError) -> Action {
        switch action {
        case .send(let message):
            state = .authenticating
            return .send(message)
        case .deriveProof(let derivation):
            state = .authenticating
            return .deriveProof(derivation)
        case .awaitMessage:
            state = .authenticating
            return .none
        case .authenticated:
            state = .awaitingReady
            return .none
        }
    }

    private mutating func addStatus(_ status: ParameterStatusMessage) throws(PostgresError) {
        // What another Mynah tells of its log is none of the client's business.
        guard status.name != MirrorLog.Position.parameter else {
            greeting.mirrorPosition = MirrorLog.Position(text: status.value)
            return
        }
        guard greeting.parameterStatuses.count < Self.maximumStatuses else { throw Self.unexpected }
        greeting.parameterStatuses.append(.init(name: status.name, value: status.value))
    }

    private mutating func addSetting(_ row: DataRowMessage) throws(PostgresError) {
        guard row.values.count == 2, let name = row.text(at: 0),
            greeting.settings.count < Self.maximumRows
        else { throw Self.unexpected }
        // NULL: a setting that this server's version does not have.
        guard let value = row.text(at: 1) else { return }
        switch name {
        case SettingsProbe.sessionUser: greeting.sessionUser = value
        case SettingsProbe.temporaryObjects: break
        case LinkClaim.leadsRow:
            guard value == "t" else { throw Self.notLeading }
            greeting.isMarked = true
        default: greeting.settings[name] = value
        }
    }

    private static var notLeading: PostgresError {
        PostgresError(
            "57P03", "this node does not lead any more", severity: .fatal,
            hint: "Connect again: the node that leads now answers.")
    }

    private static var unexpected: PostgresError {
        PostgresError(
            .protocolViolation, "unexpected message from the upstream server during startup",
            severity: .fatal)
    }
}
