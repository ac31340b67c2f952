import NIOCore
import PostgresWire

/// A connection's way from the startup message to its first ReadyForQuery, and through the settings
/// probe where one is wanted. Pure: messages in, actions out.
struct LinkStartupStateMachine {
    enum Action {
        case none
        case send(ByteBuffer)
        /// Run `derive()` off the event loop, then call `proofDerived`.
        case deriveProof(ScramKeyDerivation)
        case ready(UpstreamGreeting)
    }

    private enum State {
        case authenticating
        case awaitingReady
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

    init(user: String, password: Secret?, probesSettings: Bool) {
        self.init(
            user: user, credentials: password.map { .password($0) }, probesSettings: probesSettings)
    }

    init(user: String, credentials: UpstreamCredentials?, probesSettings: Bool) {
        authentication = ServerAuthenticationStateMachine(user: user, credentials: credentials)
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
        case (.awaitingReady, BackendTag.parameterStatus), (.probing, BackendTag.parameterStatus):
            try addStatus(try ParameterStatusMessage(decoding: frame.body))
            state = before
            return .none
        case (.awaitingReady, BackendTag.backendKeyData):
            greeting.backendKey = try BackendKey(decoding: frame.body)
            state = before
            return .none
        case (.awaitingReady, BackendTag.readyForQuery):
            _ = try TransactionStatus(decodingReadyForQuery: frame.body)
            guard probesSettings else { return becomeReady() }
            state = .probing
            var query = ByteBuffer()
            query.writeQuery(SettingsProbe.query)
            return .send(query)
        case (.probing, BackendTag.dataRow):
            try addSetting(try DataRowMessage(decoding: frame.body))
            state = before
            return .none
        case (.probing, BackendTag.rowDescription), (.probing, BackendTag.commandComplete):
            state = before
            return .none
        case (.probing, BackendTag.readyForQuery):
            return becomeReady()
        case (.authenticating, _), (.awaitingReady, _), (.probing, _):
            throw Self.unexpected
        }
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
        default: greeting.settings[name] = value
        }
    }

    private static var unexpected: PostgresError {
        PostgresError(
            .protocolViolation, "unexpected message from the upstream server during startup",
            severity: .fatal)
    }
}
