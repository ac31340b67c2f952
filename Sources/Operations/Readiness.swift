/// Whether the proxy can do its work now.
package enum Readiness: Sendable, Equatable {
    case ready
    /// `reason` is one line for the operator, without secrets.
    case notReady(reason: String)
}
