/// libpq's `target_session_attrs`: what kind of server a link is wanted to.
package enum TargetSession: String, Hashable, Sendable {
    case any
    case readWrite = "read-write"
    case readOnly = "read-only"
    case primary
    case standby
    case preferStandby = "prefer-standby"

    /// What tells, where the server does not report it by itself (before PostgreSQL 14).
    var question: String? {
        switch self {
        case .any: nil
        case .readWrite, .readOnly: "SHOW transaction_read_only"
        case .primary, .standby, .preferStandby: "SELECT pg_catalog.pg_is_in_recovery()"
        }
    }

    /// What a reported status says: whether sessions are read-only, or the server is a standby.
    /// nil where it says nothing.
    func answer(in statuses: [SessionStartup.Parameter]) -> Bool? {
        func isOn(_ name: String) -> Bool? {
            statuses.last { $0.name == name }.map { $0.value == "on" }
        }
        guard let isStandby = isOn("in_hot_standby") else { return nil }
        switch self {
        case .any: return false
        case .readWrite, .readOnly:
            guard let isReadOnly = isOn("default_transaction_read_only") else { return nil }
            return isReadOnly || isStandby
        case .primary, .standby, .preferStandby: return isStandby
        }
    }

    /// Why a server with this answer is not the one that is wanted, in libpq's words; nil if it is.
    func refusal(_ answer: Bool) -> String? {
        switch (self, answer) {
        case (.any, _), (.readWrite, false), (.readOnly, true), (.primary, false), (.standby, true),
            (.preferStandby, true):
            nil
        case (.readWrite, true): "session is read-only"
        case (.readOnly, false): "session is not read-only"
        case (.primary, true): "server is in hot standby mode"
        case (.standby, false), (.preferStandby, false): "server is not in hot standby mode"
        }
    }
}
