/// What BackendKeyData carries and a CancelRequest must repeat.
///
/// https://www.postgresql.org/docs/15/protocol-message-formats.html
package struct BackendKey: Hashable, Sendable {
    package var processID: Int32
    package var secret: Int32

    package init(processID: Int32, secret: Int32) {
        self.processID = processID
        self.secret = secret
    }
}
