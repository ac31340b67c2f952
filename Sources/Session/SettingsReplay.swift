import SQLAnalysis
import Upstream

/// The settings that a session takes along from connection to connection: what its SETs, as far as
/// they are committed, make of whichever connection serves it.
///
/// A pure value, told of changes when the server has confirmed them, like `SessionSettings`, which
/// knows what answers depend on; here every name counts.
struct SettingsReplay {
    /// In force on the connection when no transaction is running.
    private(set) var committed: ServerSettings
    /// Will be in force when the running transaction commits.
    private var kept: ServerSettings
    /// Names with a dot that the running transaction has brought into being.
    private var named: Set<String> = []
    /// A savepoint was rolled back after a change: what of it holds is not known.
    private var isUncertain = false
    /// The client's, in place of what RESET gives: no connection was made with it.
    private let applicationName: String?

    init(startup: SessionStartup) {
        applicationName =
            startup.parameters.last { $0.name == LinkPools.applicationName }
            .map { Self.clean($0.value) }
        committed = ServerSettings()
        kept = committed
        reached()
    }

    /// What a connection is to have when the session gets it.
    var wanted: ServerSettings {
        guard let applicationName, committed[LinkPools.applicationName] == nil else {
            return committed
        }
        var wanted = committed
        wanted.set(LinkPools.applicationName, to: applicationName)
        return wanted
    }

    /// The session has got a connection that has, or will have, what is wanted.
    mutating func reached() {
        committed = wanted
        kept = committed
    }

    /// As the server prints a name: what is not printable ASCII becomes a question mark.
    private static func clean(_ name: String) -> String {
        String(
            decoding: name.utf8.prefix(63).map { (32...126).contains($0) ? $0 : 63 },
            as: UTF8.self)
    }

    var hasChanges: Bool { kept != committed || !named.isEmpty }

    /// Notes a change that the server has confirmed; false where it cannot be made elsewhere.
    mutating func confirmed(_ change: SettingChange) -> Bool {
        switch change {
        case .set(let name, _) where Self.endsWithTransaction.contains(name): return true
        case .set("jit", ""):
            // Set to a parameter's value, which is not known; it changes no answer.
            kept.reset("jit")
        case .set(let name, let value):
            if ServerSettings.isCustom(name) { named.insert(name) }
            guard !Self.isFixed.contains(name), name != "session_authorization", ServerSettings.isReplayable(name, value) else {
                return false
            }
            kept.set(name, to: value)
        case .setLocal(let name, _):
            if ServerSettings.isCustom(name) { named.insert(name) }
            return !ServerSettings.isCustom(name) || ServerSettings.isReplayable(name, "")
        case .reset(let name) where Self.endsWithTransaction.contains(name): return true
        case .reset(let name):
            guard name != "session_authorization", ServerSettings.isReplayable(name, "") else {
                return false
            }
            kept.reset(name)
        case .resetAll:
            kept.resetAll()
        case .discardAll:
            kept.discardAll()
            committed = kept
        case .unknown:
            return false
        }
        return true
    }

    /// Of the running transaction, not of the session.
    private static let endsWithTransaction: Set<String> = [
        "transaction_isolation", "transaction_read_only", "transaction_deferrable",
    ]
    /// Once used these cannot be set to another value, or back.
    private static let isFixed: Set<String> = ["temp_buffers", "seed"]

    mutating func rolledBackToSavepoint() {
        if hasChanges { isUncertain = true }
    }

    /// A statement that would have set `name` has failed: a name with a dot may exist now.
    mutating func failed(_ change: SettingChange) {
        switch change {
        case .set(let name, _), .setLocal(let name, _), .reset(let name):
            if ServerSettings.isCustom(name), ServerSettings.isReplayable(name, "") {
                named.insert(name)
            }
        case .resetAll, .discardAll, .unknown: break
        }
    }

    /// The transaction has ended; nil: unknown how. False where it is not known what holds now.
    mutating func transactionEnded(committed didCommit: Bool?) -> Bool {
        defer {
            named = []
            isUncertain = false
            kept = committed
        }
        var isKnown = true
        switch didCommit {
        case true?:
            isKnown = !isUncertain
            committed = kept
        case false?: break
        case nil: isKnown = !hasChanges
        }
        // Named once, they exist: also where SET LOCAL or ROLLBACK has taken the value back.
        for name in named where committed[name] == nil { committed.reset(name) }
        return isKnown
    }
}
